-- Laboratory values of an ICU stay from 24 hours before it. Values of one time are averaged; values of 0 and below
-- and beyond a plausible limit are left out. A value belongs to the admission around its time.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_lab.sql.
-- Needs: admission_bounds, stay_clock
-- Result: icustay_id, charttime, hour, bilirubin (mg/dL), creatinine (mg/dL), lactate (mmol/L), platelets (10^9/L).
WITH averaged AS (
    SELECT
        subject_id,
        charttime,
        avg(valuenum) FILTER (itemid = 50885 AND valuenum <= 150) AS bilirubin,
        avg(valuenum) FILTER (itemid = 50912 AND valuenum <= 150) AS creatinine,
        avg(valuenum) FILTER (itemid = 50813 AND valuenum <= 50) AS lactate,
        avg(valuenum) FILTER (itemid = 51265 AND valuenum <= 10000) AS platelets
    FROM labevents
    WHERE itemid IN (50885, 50912, 50813, 51265) AND valuenum > 0
    GROUP BY subject_id, charttime
)

SELECT
    icustay_id,
    charttime,
    stay_hour(charttime, origin) AS hour,
    bilirubin,
    creatinine,
    lactate,
    platelets
FROM averaged
JOIN admission_bounds
    ON averaged.subject_id = admission_bounds.subject_id
    AND charttime >= data_start
    AND charttime < data_end
JOIN stay_clock USING (hadm_id)
WHERE stay_hour(charttime, origin) BETWEEN -24 AND last_hour
