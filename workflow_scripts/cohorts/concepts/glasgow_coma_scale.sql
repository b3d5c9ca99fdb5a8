-- Glasgow coma scale of an ICU stay. A missing part is taken from the charting before, if that is less than 6 hours
-- old, else it counts as normal. Who cannot speak because of a tube counts as 15: sedation hides what the scale
-- measures (Le Gall JR et al., SAPS II, JAMA 1993;270:2957-2963, asks for the scale before sedation).
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_gcs.sql.
-- Needs: stay_clock
-- Result: icustay_id, charttime, hour, gcs (points).
WITH charted AS (
    SELECT
        icustay_id,
        charttime,
        max(valuenum) FILTER (itemid IN (184, 220739)) AS eyes,
        max(valuenum) FILTER (itemid IN (454, 223901)) AS motor,
        -- 0 stands for a tube.
        max(CASE WHEN value IN ('1.0 ET/Trach', 'No Response-ETT') THEN 0 ELSE valuenum END)
            FILTER (itemid IN (723, 223900)) AS verbal
    FROM clinical_chart
    WHERE
        itemid IN (184, 220739, 454, 223901, 723, 223900)
        AND icustay_id IS NOT NULL
        AND error IS DISTINCT FROM 1
    GROUP BY icustay_id, charttime
),

with_previous AS (
    SELECT
        *,
        lag(charttime) OVER by_time > charttime - INTERVAL 6 HOUR AS previous_counts,
        CASE WHEN previous_counts THEN lag(eyes) OVER by_time END AS previous_eyes,
        CASE WHEN previous_counts THEN lag(motor) OVER by_time END AS previous_motor,
        CASE WHEN previous_counts THEN lag(verbal) OVER by_time END AS previous_verbal
    FROM charted
    WINDOW by_time AS (PARTITION BY icustay_id ORDER BY charttime)
)

SELECT
    icustay_id,
    charttime,
    stay_hour(charttime, origin) AS hour,
    CASE
        WHEN coalesce(verbal, previous_verbal) = 0 THEN 15
        -- Nothing is taken over from a time with a tube.
        WHEN previous_verbal = 0 THEN coalesce(eyes, 4) + coalesce(motor, 6) + coalesce(verbal, 5)
        ELSE
            coalesce(eyes, previous_eyes, 4) + coalesce(motor, previous_motor, 6) + coalesce(verbal, previous_verbal, 5)
    END AS gcs
FROM with_previous
JOIN stay_clock USING (icustay_id)
WHERE stay_hour(charttime, origin) BETWEEN -24 AND last_hour
