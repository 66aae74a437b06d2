-- compare: weighted test F1 of every detector of every concept set, at one layer or with each label at its own.
-- grain: dataset, model, concept_set, unit, detector
-- reads: summary, null_summary, layer_selection, concept_sets, sae_stats, datasets, models (views of a session: path keys are columns)
-- parameters: $dataset, $model and $unit, NULL for any; $layer, NULL for the layer chosen for each label
-- null_f1: mean over shuffles of the labels. layers: what the layer was chosen among. seed and settings say how the set was
-- made there; sets with one method and the same settings differ in nothing but seed and name (compare.py leaves out of those of an
-- autoencoder which file it is). note: of a sparse autoencoder, that it explains less than .6 of the variance on test, or that over
-- 30 % of its units never act; the worst of the layers used.
WITH compared AS (
    SELECT *
    FROM summary
    WHERE
        unit <> 'sample'
        AND ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
        AND ($model::VARCHAR IS NULL OR model = $model::VARCHAR)
        AND ($unit::VARCHAR IS NULL OR unit = $unit::VARCHAR)
        AND ($layer::INTEGER IS NULL OR layer_choice = 'best' OR layer = $layer::INTEGER)
),
judged AS (
    SELECT DISTINCT dataset, model, concept_set, unit, layer
    FROM compared
    WHERE layer_choice = 'fixed'
),
sets AS (
    SELECT
        j.dataset,
        j.model,
        j.concept_set,
        j.unit,
        list(j.layer ORDER BY j.layer) AS layers,
        CASE WHEN count(c.seed) = count(*) AND min(c.seed) = max(c.seed) THEN min(c.seed) END AS seed,
        list({layer: c.layer, score: c.score, k: c.k, hyperparameters: c.hyperparameters} ORDER BY c.layer) AS settings
    FROM judged AS j
    JOIN concept_sets AS c
        ON c.dataset = j.dataset AND c.model = j.model AND c.layer = j.layer
        AND c.concept_set = j.concept_set AND c.unit = j.unit
    GROUP BY j.dataset, j.model, j.concept_set, j.unit
),
shuffled AS (
    SELECT dataset, model, concept_set, unit, layer_choice, layer, detector, favg(f1) AS null_f1
    FROM null_summary
    GROUP BY dataset, model, concept_set, unit, layer_choice, layer, detector
),
encoded AS (
    SELECT
        s.dataset,
        s.model,
        s.concept_set,
        s.unit,
        s.layer_choice,
        s.layer,
        s.detector,
        min(e.explained_variance) FILTER (e.split = 'test') AS explained,
        max(e.dead_share) FILTER (e.split = 'all') AS dead
    FROM compared AS s
    LEFT JOIN layer_selection AS c
        ON s.layer_choice = 'best' AND c.dataset = s.dataset AND c.model = s.model AND c.concept_set = s.concept_set
        AND c.unit = s.unit AND c.detector = s.detector
    JOIN sae_stats AS e
        ON e.dataset = s.dataset AND e.model = s.model AND e.concept_set = s.concept_set AND e.unit = s.unit
        AND e.layer = coalesce(s.layer, c.layer)
    GROUP BY s.dataset, s.model, s.concept_set, s.unit, s.layer_choice, s.layer, s.detector
),
noted AS (
    SELECT
        * EXCLUDE (explained, dead),
        nullif(
            concat_ws(
                ', ',
                CASE WHEN explained < 0.6 THEN 'explains ' || regexp_replace(printf('%.2f', explained), '^(-?)0', '\1') END,
                CASE WHEN dead > 0.3 THEN round(100 * dead)::BIGINT || ' % dead units' END
            ),
            ''
        ) AS note
    FROM encoded
)
SELECT
    s.dataset,
    coalesce(d.name, s.dataset) AS dataset_name,
    s.model,
    coalesce(m.name, s.model) AS model_name,
    m.blocks,
    s.concept_set,
    s.method,
    s.unit,
    s.detector,
    s.layer_choice,
    s.layer,
    s.f1,
    s.ci_low,
    s.ci_high,
    s.n_labels,
    s.n_positive,
    n.null_f1,
    e.note,
    k.layers,
    k.seed,
    k.settings
FROM compared AS s
LEFT JOIN datasets AS d ON d.dataset = s.dataset
LEFT JOIN models AS m ON m.model = s.model
LEFT JOIN sets AS k
    ON k.dataset = s.dataset AND k.model = s.model AND k.concept_set = s.concept_set AND k.unit = s.unit
LEFT JOIN shuffled AS n
    ON n.dataset = s.dataset AND n.model = s.model AND n.concept_set = s.concept_set AND n.unit = s.unit
    AND n.layer_choice = s.layer_choice AND n.layer IS NOT DISTINCT FROM s.layer AND n.detector = s.detector
LEFT JOIN noted AS e
    ON e.dataset = s.dataset AND e.model = s.model AND e.concept_set = s.concept_set AND e.unit = s.unit
    AND e.layer_choice = s.layer_choice AND e.layer IS NOT DISTINCT FROM s.layer AND e.detector = s.detector
WHERE s.layer_choice = CASE WHEN $layer::INTEGER IS NULL THEN 'best' ELSE 'fixed' END
ORDER BY s.dataset, s.model, s.concept_set, s.unit, s.detector
