-- Macros that every query shares. Each is one CREATE; the session runs the file once.

-- The delta grid, and the quantile level of each: the decimal literal, never 1 - delta in binary.
CREATE OR REPLACE TEMP MACRO deltas() AS [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]::DOUBLE[];
CREATE OR REPLACE TEMP MACRO levels() AS [0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]::DOUBLE[];

-- A ratio of two counts: a denominator of 0 gives 0 (scikit-learn's zero_division=0), NULL counts give NULL.
CREATE OR REPLACE TEMP MACRO ratio(numerator, denominator) AS
    CASE WHEN denominator = 0 THEN 0.0::DOUBLE ELSE numerator::DOUBLE / denominator END;

-- The score of a token by the method's own measure. For measure activation both columns hold the activation.
CREATE OR REPLACE TEMP MACRO score_of(measure, cosine, signed_distance) AS
    CASE measure WHEN 'cosine' THEN cosine ELSE signed_distance END;

-- True when the sample score of a detector reaches the threshold: FLOAT against FLOAT, NULL decides nothing.
CREATE OR REPLACE TEMP MACRO detected(score, threshold) AS coalesce(score >= threshold::FLOAT, false);

-- The bin of a value among 100 of equal width, the last one closed; all in bin 0 where the range is one point.
CREATE OR REPLACE TEMP MACRO bin_of(value, low, high) AS
    CASE WHEN high = low THEN 0 ELSE least(floor((value - low) / (high - low) * 100), 99) END::INTEGER;

-- SplitMix64: the first output of the generator seeded with x, unsigned 64-bit. UBIGINT arithmetic raises on overflow, hence
-- sums and products of 32-bit halves; wider integers are twenty times slower.
CREATE OR REPLACE TEMP MACRO low32(a) AS a & 4294967295::UBIGINT;
CREATE OR REPLACE TEMP MACRO joined64(high, low) AS (low32(high) << 32) | low32(low);
CREATE OR REPLACE TEMP MACRO add64(a, b) AS
    joined64((a >> 32) + (b >> 32) + ((low32(a) + low32(b)) >> 32), low32(a) + low32(b));
CREATE OR REPLACE TEMP MACRO multiply64(a, b) AS joined64(
    ((low32(a) * low32(b)) >> 32) + low32((a >> 32) * low32(b)) + low32(low32(a) * (b >> 32)),
    low32(a) * low32(b)
);
CREATE OR REPLACE TEMP MACRO mix_first(z) AS multiply64(xor(z, z >> 30), 13787848793156543929::UBIGINT);
CREATE OR REPLACE TEMP MACRO mix_second(z) AS multiply64(xor(z, z >> 27), 10723151780598845931::UBIGINT);
CREATE OR REPLACE TEMP MACRO splitmix64(x) AS (
    SELECT xor(y, y >> 31)
    FROM (
        SELECT mix_second(w) AS y
        FROM (SELECT mix_first(z) AS w FROM (SELECT add64(x::UBIGINT, 11400714819323198485::UBIGINT) AS z))
    )
);

-- The detectors: the aggregate of token scores that each reads, and the unit it belongs to.
CREATE OR REPLACE TEMP MACRO detectors() AS TABLE
    SELECT *
    FROM (
        VALUES
            ('superactivator', 'max', 'token'),
            ('max_token', 'max', 'token'),
            ('mean_token', 'mean', 'token'),
            ('last_token', 'last', 'token'),
            ('random_token', 'random', 'token'),
            ('cls', 'cls', 'cls')
    ) AS d (detector, aggregate, unit);
