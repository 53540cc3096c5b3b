// p(y | z) of a mixture of K Gaussians in D dimensions.
function mixtureOf(record) {
  const constants = unpacked(record.constants, "f8");
  const means = unpacked(record.means, "f8"), whitening = unpacked(record.whitening, "f8");
  const K = constants.length, D = means.length / K;
  return (z) => {
    const p = new Float64Array(K);
    for (let k = 0; k < K; k++) {
      let square = 0;
      for (let row = 0; row < D; row++) {
        let sum = 0;
        for (let i = 0; i <= row; i++) sum += whitening[(k * D + row) * D + i] * (z[i] - means[k * D + i]);
        square += sum * sum;
      }
      p[k] = constants[k] - square / 2;
    }
    const most = Math.max(...p);
    let total = 0;
    for (let k = 0; k < K; k++) total += p[k] = Math.exp(p[k] - most);
    return p.map((value) => value / total);
  };
}
