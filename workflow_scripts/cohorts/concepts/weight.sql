-- Charted body weight of an ICU stay over time. The first weight at admission holds from 2 hours before the stay, each
-- weight until the next one, the last until 2 hours after the stay; a first weight that is charted later also holds
-- before.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/durations/weight_durations.sql, without its weights of newborns and
--   without its weights from echocardiography reports (notes are not extracted).
-- Result: icustay_id, starttime, endtime (both inclusive), weight (kg).
WITH charted AS (
    SELECT
        icustay_id,
        itemid IN (762, 226512) AS at_admission,
        charttime,
        valuenum AS weight
    FROM clinical_chart
    WHERE
        itemid IN (762, 226512, 763, 224639)
        AND icustay_id IS NOT NULL
        AND valuenum > 0
        AND coalesce(error, 0) = 0
),

numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY icustay_id, at_admission ORDER BY charttime, weight) AS number
    FROM charted
),

started AS (
    SELECT
        icustay_id,
        intime,
        outtime,
        CASE WHEN at_admission AND number = 1 THEN intime - INTERVAL 2 HOUR ELSE charttime END AS starttime,
        weight
    FROM numbered
    JOIN icustays USING (icustay_id)
),

ended AS (
    SELECT
        *,
        coalesce(
            lead(starttime) OVER by_time,
            greatest(outtime, starttime) + INTERVAL 2 HOUR
        ) AS endtime,
        row_number() OVER by_time AS number
    FROM started
    WINDOW by_time AS (PARTITION BY icustay_id ORDER BY starttime, weight)
)

SELECT icustay_id, starttime, endtime, weight FROM ended
UNION ALL
SELECT icustay_id, intime - INTERVAL 2 HOUR, starttime, weight FROM ended WHERE number = 1 AND intime < starttime
