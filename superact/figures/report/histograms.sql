-- histograms: how the test scores of a label's concept are spread, in 100 bins.
-- grain: layer, label, population, bin
-- reads: distributions
-- parameters: $dataset, $model, $concept_set
SELECT layer, label, population, bin, lo, hi, mass
FROM distributions
WHERE dataset = $dataset AND model = $model AND concept_set = $concept_set
ORDER BY layer, label, population, bin
