// Decisions about samples: float32 scores against float32 thresholds, as SQL compares them. Nothing here touches the page.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const KINDS = [
    ["tp", "True positives", "detected, and carry the label"],
    ["fp", "False positives", "detected, do not carry the label"],
    ["fn", "False negatives", "not detected, carry the label"],
    ["tn", "True negatives", "not detected, do not carry the label"],
  ];
  const WORDS = { tp: "true positive", fp: "false positive", fn: "false negative", tn: "true negative" };

  // NaN, the score of a sample without a token, reaches nothing; neither does any score where there is no threshold.
  const reaches = (score, threshold) => threshold !== null && score >= Math.fround(threshold);

  function outcome(score, threshold, positive) {
    return reaches(score, threshold) ? (positive ? "tp" : "fp") : positive ? "fn" : "tn";
  }

  // Places of samples by outcome, each list the highest score first, then by number.
  function ranked(scores, threshold, positives) {
    const found = { tp: [], fp: [], fn: [], tn: [] };
    for (let place = 0; place < scores.length; place++) found[outcome(scores[place], threshold, positives.has(place))].push(place);
    const value = (place) => (Number.isNaN(scores[place]) ? -Infinity : scores[place]);
    for (const list of Object.values(found)) list.sort((a, b) => value(b) - value(a) || a - b);
    return found;
  }

  const ratio = (numerator, denominator) => (denominator === 0 ? 0 : numerator / denominator);

  // cut: [delta, threshold, tp, fp, fn, tn] of all test samples.
  function measures(cut) {
    const [delta, threshold, tp, fp, fn, tn] = cut;
    if (threshold === null || tp === null) return { delta, threshold: null, tp: null, fp: null, fn: null, tn: null, precision: null, recall: null, f1: null };
    return { delta, threshold, tp, fp, fn, tn, precision: ratio(tp, tp + fp), recall: ratio(tp, tp + fn), f1: ratio(2 * tp, 2 * tp + fp + fn) };
  }

  superact.outcomes = { KINDS, WORDS, reaches, outcome, ranked, measures };
})();
