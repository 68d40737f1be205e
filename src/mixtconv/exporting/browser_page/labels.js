// Scores and labels of logits, as mixtconv gives them.

/**
 * The scores of all classes: the softmax, or of several labels the sigmoid of each.
 * @param {ArrayLike<number>} logits
 * @param {object} spec
 */
export function scoresOf(logits, spec) {
  const values = Array.from(logits);
  if (spec.label_thresholds) return values.map(value => 0.5 * (1 + Math.tanh(value / 2)));
  const largest = Math.max(...values), powers = values.map(value => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map(power => power / sum);
}

/**
 * Every class, best first, and whether it holds.
 * @returns {Array<{label: string, score: number, holds: boolean}>} of one label the best holds, unless
 *   it is rejected; of several all that reach their threshold
 */
export function rankedLabels(logits, spec) {
  const scores = scoresOf(logits, spec);
  const order = scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a] || a - b);
  return order.map((index, rank) => {
    const score = scores[index];
    const holds = spec.label_thresholds
      ? score >= spec.label_thresholds[index]
      : rank === 0 && score >= (spec.rejection_thresholds?.[index] ?? 0);
    return {label: spec.classes[index], score, holds};
  });
}

/** The mean of the logits of the last `most` frames. */
export class RecentLogits {
  constructor(most) {
    this.most = most;
    this.recent = [];
  }

  push(logits) {
    this.recent.push(logits);
    if (this.recent.length > this.most) this.recent.shift();
    return logits.map((_, index) =>
      this.recent.reduce((sum, each) => sum + each[index], 0) / this.recent.length);
  }
}
