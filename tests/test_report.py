"""The page on a run: its sentences, its cards and its HTML."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from parsed import EVIL, check_whole
from PIL import Image
from toys import tiny

from gmvae import Images, report
from gmvae.plots import Told
from gmvae.report import Card, Comparison, Picture, Report, Training
from gmvae.report.cards import MOST_CARDS
from gmvae.report.pictures import LARGEST_SIDE


def test_its_public_names_are_there():
    assert [getattr(report, name) for name in report.__all__]
    assert dir(report) == sorted(set(report.__all__))


def record(k, images, share, probability, name=None):
    return {"component": k, "name": name, "images": images, "share": share} | {
        "probability": probability
    }


RECORDS = [record(0, 6, 0.6, 0.95, "cat"), record(1, 4, 0.4, 0.85, 8)]
SURE = np.array([0.99] * 7 + [0.5, 0.8, 0.9])


class TestSentences:
    def told(self, records=RECORDS, probability=SURE, accuracy=None, **training):
        about = {"origin": "asked", "n_images": 5_000, "labels_observed": 0} | training
        return report.sentences(records, probability, accuracy, Training(**about))

    def test_of_a_good_run(self):
        assert self.told(accuracy=0.875) == (
            "The 10 images fall into 2 clusters, as many as were asked for: the largest holds "
            "60.0% of them, the smallest 40.0%.",
            "On average an image is in its cluster with probability 0.913, and 2 of 10 are below "
            "0.9; their labels agree with the clusters on 87.5%.",
            "Doubt component 1 (class 8) first, whose images have the least probability, 0.850 on "
            "average, then the 2 images of a probability below 0.9.",
        )

    @pytest.mark.parametrize(
        ("origin", "words"),
        [
            ("classes", ", as many as there are classes: the largest"),
            ("density", " peaks that stand out of its noise: the largest"),
            (None, "into 2 clusters: the largest"),
        ],
    )
    def test_why_there_are_so_many(self, origin, words):
        assert words in self.told(origin=origin)[0]

    def test_a_component_without_images_is_no_cluster(self):
        told = self.told([*RECORDS, record(2, 0, 0.0, None)])
        assert told[0].startswith(
            "The 10 images fall into 2 clusters, of 3 components that could hold some: the largest"
        )

    def test_one_cluster_of_one_image(self):
        told = self.told([record(0, 1, 1.0, 0.95)], np.array([0.95]))
        assert told == (
            "The 1 image falls into 1 cluster, as many as were asked for.",
            "On average an image is in its cluster with probability 0.950, and 0 of 1 are below "
            "0.9; no labels say whether that is right.",
            "Doubt component 0 first.",
        )

    def test_warnings_are_what_to_doubt_first(self):
        words = "Doubt the clusters themselves: the training ended with "
        assert self.told(warnings=["a"])[2] == f"{words}1 warning, which stands below."
        assert self.told(warnings=["a", "b"])[2] == f"{words}2 warnings, which stand below."

    @pytest.mark.parametrize(
        ("n_images", "observed", "few"), [(1_999, 0, True), (2_000, 0, False), (10, 1, False)]
    )
    def test_probabilities_of_few_images_without_labels_are_too_sure(self, n_images, observed, few):
        line = self.told(n_images=n_images, labels_observed=observed)[2]
        assert line.endswith("too sure.") == few


@pytest.mark.parametrize(
    ("asked", "observed", "origin"),
    [(2, 0, "classes"), (3, 0, "asked"), (None, 0, "density"), (None, 4, "classes")],
)
def test_what_decided_the_number_by_the_record_of_a_training(asked, observed, origin):
    settings = {"n_components": asked}
    kept = {"classes": [1, 8], "labels_observed": observed, "n_images": 7, "settings": settings}
    assert Training.of(kept, ["w"]) == Training(origin, 7, observed, ("w",))
    assert Training.of({}) == Training(None, 0, 0, ())


def told_of(images, components=None):
    """A model of three components, and which of them an image has."""
    told = Told(tiny().eval(), images)
    if components is not None:
        told.sharp = np.eye(3, dtype=np.float32)[components]
        told.honest = told.sharp * 0.9 + 0.1 / 3
    return told


def noise(n=24, shape=(1, 3, 4), labels=None, **more):
    pixels = np.random.default_rng(0).random((n, *shape), dtype=np.float32)
    return Images(pixels, None if labels is None else np.array(labels), "noise", **more)


def records_of(told):
    sizes = np.bincount(told.components, minlength=3)
    return [
        record(k, int(n), n / len(told.images), 0.9 if n else None) for k, n in enumerate(sizes)
    ]


def row_of(member):
    return int(member.name.removeprefix("row "))


class TestCards:
    def test_a_card_holds_images_of_its_component_and_each_once(self):
        told = told_of(noise(), np.arange(24) % 2)
        cards = report.gallery(told, records_of(told))
        assert [card.title for card in cards] == [f"component {k}" for k in range(3)]
        for k, card in enumerate(cards):
            rows = [row_of(member) for _, members in card.groups for member in members]
            assert len(set(rows)) == len(rows) == (12 if k < 2 else 0)
            assert all(row % 2 == k for row in rows)

    def test_the_doubtful_ones_are_the_least_probable_of_those_that_lie_farther(self):
        told = told_of(noise(), [0] * 24)
        told.honest[:, 0] = np.random.default_rng(1).permutation(24) / 100 + 0.1
        groups = dict(report.gallery(told, records_of(told))[0].groups)
        nearest = {row_of(member) for member in groups["Nearest its mean"]}
        farther = sorted({*range(24)} - nearest, key=lambda row: told.honest[row, 0])
        assert [row_of(member) for member in groups["Doubtful"]] == farther[:4]
        first = groups["Doubtful"][0]
        assert first.probability == f"{told.honest[farther[0], 0]:.0%}"
        assert first.label is None

    def test_an_image_has_its_file_its_class_and_its_pixels(self):
        files = np.array([f"cat/{i}.png" for i in range(24)])
        told = told_of(noise(labels=[4, 8] * 12, class_names={4: "cat"}, files=files), [0] * 24)
        (_, members), *_ = report.gallery(told, records_of(told))[0].groups
        for member in members:
            row = int(member.name.removeprefix("cat/").removesuffix(".png"))
            assert member.label == ("cat", "8")[row % 2]
            assert member.picture.words == member.name
            shown = np.asarray(Image.open(io.BytesIO(member.picture.png)))
            assert shown.tolist() == np.rint(told.images.pixels[row, 0] * 255).tolist()

    def test_of_many_components_the_largest_have_cards(self):
        k = MOST_CARDS + 2
        told = Told(tiny(n_components=k).eval(), noise(k))
        told.sharp = np.eye(k, dtype=np.float32)
        told.honest = told.sharp
        records = [record(i, 1 if i != 3 else 0, 1 / k, 0.9) for i in range(k)]
        titles = [card.title for card in report.gallery(told, records)]
        assert titles == [f"component {i}" for i in range(k - 1) if i != 3]

    def test_large_images_are_made_small(self):
        picture = report.pictures.thumbnail(torch.rand(3, 100, 200), "x")
        assert Image.open(io.BytesIO(picture.png)).size == (LARGEST_SIDE, LARGEST_SIDE // 2)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGBA")])
def test_an_image_of_any_channels_is_a_picture(channels, mode):
    x = torch.zeros(channels, 2, 3)
    x[0] = 1.0
    picture = report.as_picture(x)
    assert (picture.mode, picture.size) == (mode, (3, 2))
    # Two channels are shown by their mean, which is rounded to even.
    first = np.asarray(picture)[0, 0]
    assert np.ravel(first).tolist() == [[255], [128], [255, 0, 0], [255, 0, 0, 0]][channels - 1]


class TestClassTable:
    def test_counts_and_shares(self):
        told = told_of(noise(5, labels=[4, 4, 4, 4, 8], class_names={4: "cat"}), [0, 0, 0, 2, 1])
        table = report.class_table(told)
        assert table.components == ("component 0", "component 1", "component 2")
        assert table.rows == (
            ("cat", ((3, 0.75), (0, 0.0), (1, 0.25))),
            ("8", ((0, 0.0), (1, 1.0), (0, 0.0))),
        )

    def test_there_is_none_without_labels_or_of_too_many_classes(self):
        assert report.class_table(told_of(noise())) is None
        assert report.class_table(told_of(noise(25, labels=np.arange(25)))) is not None
        assert report.class_table(told_of(noise(26, labels=np.arange(26)))) is None


def png_of(value):
    file = io.BytesIO()
    Image.new("L", (2, 2), value).save(file, format="png")
    return file.getvalue()


def page_of(told, **changes):
    """A page whose words are evil wherever a word of others may stand."""
    evil = list(EVIL.values())
    page = Report(
        title=evil[0],
        asked=[(word, word) for word in evil],
        answer=evil[:3],
        warnings=evil,
        scored_on=evil[1],
        cards=report.gallery(told, records_of(told)),
        classes=report.class_table(told),
        pictures={"latent": Picture(png_of(0), evil[2]), "curves": Picture(png_of(9), "curves")},
        figures=[("accuracy", "0.5")],
        diagnosis=None,
        settings=[("model", ""), ("   --lr", "0.1")],
        versions=[("gmvae", "1")],
        again="gmvae train --config 'a b'",
        diagnose="gmvae diagnose",
    )
    return replace(page, **changes)


class TestPage:
    @pytest.fixture
    def told(self):
        evil = list(EVIL.values())
        files = np.array([f"{i}{evil[i % len(evil)]}" for i in range(24)])
        told = told_of(
            noise(labels=np.arange(24) % 7, class_names=dict(enumerate(evil)), files=files)
        )
        told.gmvae.names_by_hand = {0: EVIL["script"], 1: EVIL["terminal"], 2: EVIL["attribute"]}
        return told

    def test_it_is_whole_and_shows_names_as_text(self, told):
        source = report.render(page_of(told))
        page = check_whole(source)
        for word in EVIL.values():
            shown = word.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
            assert shown in page.text
        assert not {"\x1b", "\u202e"} & set(source)
        assert page.all("b") == []
        assert [i["alt"] for i in page.all("img") if i["alt"] == EVIL["attribute"]]
        assert "49" not in [cell for row in page.rows for cell in row]

    def test_every_part_is_there(self, told):
        page = check_whole(report.render(page_of(told)))
        ids = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
        assert ids == [
            *("asked", "clusters", "classes", "pictures", "figures", "diagnosis", "again"),
        ]
        assert len(page.all("section")) == 3
        assert ["accuracy", "0.5"] in page.rows
        assert ["model"] in page.rows
        assert ["--lr", "0.1"] in page.rows
        assert "None was made" in page.text
        assert "gmvae train --config 'a b'" in page.text
        sources = [image["src"] for image in page.all("img")]
        assert sum(base64.b64decode(s.partition(",")[2]) == png_of(9) for s in sources) == 1

    def test_without_labels_there_is_no_table_of_classes(self):
        page = check_whole(report.render(page_of(told_of(noise()), warnings=())))
        assert "classes" not in [attributes.get("id") for _, attributes in page.tags]
        assert "#classes" not in [link["href"] for link in page.all("a")]
        assert "Warnings" not in page.text

    def test_a_diagnosis_stands_on_it(self, told):
        check = {"check": "k-hat <b>", "figure": 0.123456, "status": "fail", "detail": "of 6"}
        limits = {"threshold": {"good": 0.05, "bad": 0.2}}
        note = {"check": "log p(x)", "figure": None, "status": "note", "detail": ""}
        verdict = {"verdict": "fail", "images": "some", "n_images": 1_234}
        verdict["consequences"] = ["Do not <i>."]
        least = check | {"check": "ESS", "threshold": {"good": 100.0, "bad": 25.0}}
        verdict["checks"] = [check | limits, least, note | {"threshold": None}]
        page = check_whole(report.render(page_of(told, diagnosis=verdict)))
        assert ["fail", "k-hat <b>", "0.1235", "<= 0.05, fails beyond 0.2", "of 6"] in page.rows
        assert ["fail", "ESS", "0.1235", ">= 100, fails beyond 25", "of 6"] in page.rows
        assert ["note", "log p(x)", "", "", ""] in page.rows
        assert "on some, 1,234 images" in page.text
        assert "Do not <i>." in page.text

    def test_nothing_is_left_of_a_card_without_images(self, told):
        empty = Card("component 7", record(7, 0, 0.0, None), ())
        page = check_whole(report.render(page_of(told, cards=(empty,))))
        assert "component 7 0 images, 0.0%" in page.text


def test_runs_side_by_side_are_a_page_too():
    evil = list(EVIL.values())
    columns = [
        report.Column(evil[0], {"latent": Picture(png_of(1), evil[2])}),
        report.Column(evil[1], {}),
    ]
    page = check_whole(
        report.render(
            Comparison(
                title=evil[1],
                columns=columns,
                remarks=evil,
                figures=[("ELBO", ["-1.00", "-2.00"], 0), ("NMI", ["", "0.5"], None)],
                settings=[("--lr", [evil[3], "0.1"])],
                pictures=[("latent", "The latent space")],
            )
        )
    )
    assert ["figure", evil[0], evil[1]] in page.rows
    assert ["ELBO", "-1.00", "-2.00"] in page.rows
    assert [a["class"] for tag, a in page.tags if tag == "td" and "class" in a] == ["best"]
    assert len(page.all("img")) == 1
    assert f"{evil[1]}: none" in page.text
