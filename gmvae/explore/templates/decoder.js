// The decoder, step by step, as torch computes it; sums are in double precision.
const STEPS = {
  linear({ inputs, outputs }, take) {
    const weight = take(inputs * outputs), bias = take(outputs);
    const result = new Float64Array(outputs);
    return (x) => {
      for (let o = 0, at = 0; o < outputs; o++, at += inputs) {
        // Four sums that do not wait for each other: twice as fast as one.
        let a = bias[o], b = 0, c = 0, d = 0, i = 0;
        for (; i + 3 < inputs; i += 4) {
          a += weight[at + i] * x[i];
          b += weight[at + i + 1] * x[i + 1];
          c += weight[at + i + 2] * x[i + 2];
          d += weight[at + i + 3] * x[i + 3];
        }
        for (; i < inputs; i++) a += weight[at + i] * x[i];
        result[o] = a + b + (c + d);
      }
      return result;
    };
  },

  relu() {
    return (x) => {
      for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] = 0;
      return x;
    };
  },

  // By nearest neighbours.
  enlarge({ channels, from, to }) {
    const [rows, columns] = from, [height, width] = to;
    const result = new Float64Array(channels * height * width);
    const source = Int32Array.from({ length: height * width }, (_, i) =>
      Math.floor((Math.floor(i / width) * rows) / height) * columns +
      Math.floor(((i % width) * columns) / width));
    return (x) => {
      for (let c = 0; c < channels; c++) {
        const at = c * rows * columns, to = c * source.length;
        for (let i = 0; i < source.length; i++) result[to + i] = x[at + source[i]];
      }
      return result;
    };
  },

  // 3 x 3, over a frame of zeros.
  convolution({ inputs, outputs, size }, take) {
    const [height, width] = size, wide = width + 2, area = height * width, padded = (height + 2) * wide;
    const weight = take(outputs * inputs * 9), bias = take(outputs);
    const framed = new Float64Array(inputs * padded), result = new Float64Array(outputs * area);
    return (x) => {
      for (let c = 0, from = 0; c < inputs; c++)
        for (let row = 0; row < height; row++, from += width)
          framed.set(x.subarray(from, from + width), c * padded + (row + 1) * wide + 1);
      for (let o = 0, w = 0; o < outputs; o++) {
        const to = o * area;
        result.fill(bias[o], to, to + area);
        for (let c = 0; c < inputs; c++, w += 9) {
          const a = weight[w], b = weight[w + 1], d = weight[w + 2];
          const e = weight[w + 3], f = weight[w + 4], g = weight[w + 5];
          const h = weight[w + 6], i = weight[w + 7], j = weight[w + 8];
          for (let row = 0; row < height; row++) {
            let up = c * padded + row * wide, on = up + wide, down = on + wide;
            for (let k = to + row * width, end = k + width; k < end; k++, up++, on++, down++)
              result[k] +=
                a * framed[up] + b * framed[up + 1] + d * framed[up + 2] +
                e * framed[on] + f * framed[on + 1] + g * framed[on + 2] +
                h * framed[down] + i * framed[down + 1] + j * framed[down + 2];
          }
        }
      }
      return result;
    };
  },
};

const MEANS = {
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
  // Of a continuous Bernoulli; its series near 0, where the formula is a difference of large numbers.
  continuous(v) {
    const a = Math.abs(v);
    if (a < 0.1) return 0.5 + v / 12 - v ** 3 / 720;
    const above = -1 / Math.expm1(-a) - 1 / a;
    return v < 0 ? 1 - above : above;
  },
};

// From a latent (D) to an image in [0, 1], channel by channel, row by row.
function decoderOf({ steps, weights, mean }) {
  const all = unpacked(weights, "f4");
  let at = 0;
  const take = (n) => all.subarray(at, (at += n));
  const taken = steps.map((step) => STEPS[step.kind](step, take));
  return (z) => {
    let h = Float64Array.from(z);
    for (const step of taken) h = step(h);
    return Float64Array.from(h, MEANS[mean]);
  };
}
