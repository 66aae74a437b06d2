-- localization_scores: how the tokens of detected cal and test samples align with the superactivators of a label.
-- room: tables
-- path: dataset, model, layer, concept_set
-- grain: dataset, model, layer, concept_set, label, sample, token
CREATE TABLE localization_scores (
    dataset       VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model         VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer         INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set   VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    label         VARCHAR NOT NULL, -- name of a ground-truth concept
    sample        INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token         INTEGER NOT NULL, -- 0-based inside its sample: image patches row-major, text tokens in order; -1 for unit cls
    global_cosine FLOAT NOT NULL,   -- cos(xhat, u), u from the superactivators of train and cal
    local_cosine  FLOAT NOT NULL    -- the same with u from the sample's own superactivators
);
