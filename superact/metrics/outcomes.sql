-- outcomes: what each detector said of each test sample at its selected concept and delta; the bootstrap resamples these.
-- grain: detector, label, sample (those detected or carrying the label: the rest are true negatives)
-- reads: selection, sample_scores (one partition); samples, sample_labels
-- parameters: none
SELECT chosen.detector, chosen.label, s.sample, detected(ss.score, chosen.threshold) AS predicted, sl.label IS NOT NULL AS truth
FROM selection AS chosen
JOIN detectors() AS d ON d.detector = chosen.detector
JOIN sample_scores AS ss ON ss.concept = chosen.concept AND ss.aggregate = d.aggregate
JOIN samples AS s ON s.sample = ss.sample AND s.split = 'test'
LEFT JOIN sample_labels AS sl ON sl.sample = s.sample AND sl.label = chosen.label
WHERE chosen.threshold IS NOT NULL AND (detected(ss.score, chosen.threshold) OR sl.label IS NOT NULL)
ORDER BY chosen.detector, chosen.label, s.sample
