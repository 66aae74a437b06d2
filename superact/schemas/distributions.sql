-- distributions: histogram of the test scores of a label's concept, by population.
-- room: metrics
-- path: dataset, model, layer, concept_set
-- grain: dataset, model, layer, concept_set, label, population, bin
CREATE TABLE distributions (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer       INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    method      VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    label       VARCHAR NOT NULL, -- name of a ground-truth concept
    population  VARCHAR NOT NULL, -- in_concept, out_of_concept or in_sample_not_token
    bin         INTEGER NOT NULL, -- 0 to 99, over the range of all three populations
    lo          DOUBLE,           -- lower edge; NULL without any test token
    hi          DOUBLE,           -- upper edge
    n           BIGINT NOT NULL,  -- tokens in the bin
    mass        DOUBLE NOT NULL,  -- n / tokens of the population, 0 if it is empty
    run         VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);
