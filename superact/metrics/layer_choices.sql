-- layer_choices: what every (detector, label) chose at one layer, and how it does on test.
-- grain: detector, label (one layer)
-- reads: selection, detection (split test), (one partition)
-- parameters: $layer
SELECT $layer::INTEGER AS layer, s.detector, s.label, s.concept, s.delta, s.f1_cal, d.tp, d.fp, d.fn
FROM selection AS s
JOIN detection AS d
    ON d.detector = s.detector AND d.label = s.label AND d.concept = s.concept AND d.delta = s.delta AND d.split = 'test'
WHERE s.f1_cal IS NOT NULL
