-- Arterial blood gases of an ICU stay with their PaO2/FiO2. A gas is arterial if its specimen says so, or, where no
-- specimen is given, if a logistic regression of mimic-code's authors finds it likely (above 0.75). By the choice
-- `venous_gases` the regression also overrules a specimen that is labelled venous or mixed, as in mimic-code. FiO2 is
-- the gas's own, or the last one charted within 4 hours before it. By the choice `full_oxygen` a charted FiO2 of
-- exactly 100 % counts, or does not, as in mimic-code (where the comparison reads "< 100").
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_bg.sql and pivoted_bg_art.sql; ventilation at the time
--   of the gas as in pivoted_sofa.sql. A gas in the bounds of two stays goes to the later one (undefined there).
-- Needs: stay_bounds, stay_clock, ventilation
-- Result: icustay_id, charttime, hour, ratio (mmHg, null without FiO2), ventilated.
WITH gases AS (
    SELECT
        hadm_id,
        charttime,
        max(value) FILTER (itemid = 50800) AS specimen,
        avg(valuenum) FILTER (itemid = 50821 AND valuenum <= 800) AS po2,
        avg(valuenum) FILTER (itemid = 50816 AND valuenum BETWEEN 20 AND 100) AS fio2,
        avg(valuenum) FILTER (itemid = 50811) AS hemoglobin,
        avg(valuenum) FILTER (itemid = 50817 AND valuenum <= 100) AS so2,
        avg(valuenum) FILTER (itemid = 50818) AS pco2,
        avg(valuenum) FILTER (itemid = 50801) AS aado2,
        avg(valuenum) FILTER (itemid = 50803) AS bicarbonate,
        avg(valuenum) FILTER (itemid = 50804) AS totalco2,
        avg(valuenum) FILTER (itemid = 50813) AS lactate,
        avg(valuenum) FILTER (itemid = 50820) AS ph,
        avg(valuenum) FILTER (itemid = 50815 AND valuenum <= 70) AS o2flow
    FROM (SELECT * REPLACE (CASE WHEN valuenum > 0 THEN valuenum END AS valuenum) FROM labevents)
    GROUP BY hadm_id, charttime
    -- Two specimens at one time: nobody knows which value came from which.
    HAVING count(*) FILTER (itemid = 50800) < 2 AND po2 IS NOT NULL
),

saturation AS (
    SELECT
        hadm_id,
        charttime,
        avg(valuenum) AS spo2
    FROM clinical_chart
    WHERE
        itemid IN (646, 220277)
        AND valuenum > 0
        AND valuenum <= 100
        AND hadm_id IN (SELECT hadm_id FROM gases)
    GROUP BY hadm_id, charttime
),

inspired AS (
    SELECT
        hadm_id,
        charttime,
        max(CASE
            -- MetaVision charts percent, now and then a fraction; 1 to 21 are litres a minute.
            WHEN itemid = 223835 AND valuenum <= 1 THEN valuenum * 100
            WHEN itemid = 223835 AND valuenum >= 21 THEN valuenum
            WHEN itemid IN (3420, 3422) THEN valuenum
            WHEN itemid = 190 AND valuenum > 0.2 AND valuenum < 1 THEN valuenum * 100
            WHEN itemid = 190 AND valuenum = 1 AND getvariable('full_oxygen') = 'kept' THEN 100
        END) AS charted_fio2
    FROM clinical_chart
    WHERE
        itemid IN (190, 3420, 3422, 223835)
        AND valuenum > 0
        AND (valuenum < 100 OR (valuenum = 100 AND getvariable('full_oxygen') = 'kept'))
        AND error IS DISTINCT FROM 1
        AND hadm_id IN (SELECT hadm_id FROM gases)
    GROUP BY hadm_id, charttime
    HAVING charted_fio2 IS NOT NULL
),

with_saturation AS (
    SELECT
        gases.*,
        CASE WHEN gases.charttime - saturation.charttime <= INTERVAL 2 HOUR THEN spo2 END AS spo2
    FROM gases
    ASOF LEFT JOIN saturation
        ON gases.hadm_id = saturation.hadm_id AND gases.charttime >= saturation.charttime
),

with_oxygen AS (
    SELECT
        with_saturation.*,
        CASE
            WHEN with_saturation.charttime - inspired.charttime <= INTERVAL 4 HOUR THEN charted_fio2
        END AS charted_fio2
    FROM with_saturation
    ASOF LEFT JOIN inspired
        ON with_saturation.hadm_id = inspired.hadm_id AND with_saturation.charttime >= inspired.charttime
),

arterial AS (
    SELECT
        hadm_id,
        charttime,
        100 * po2 / coalesce(fio2, charted_fio2) AS ratio
    FROM with_oxygen
    -- Coefficients of the source; a missing value counts as the mean, plus what its being missing tells.
    WHERE specimen = 'ART' OR (specimen IS NULL OR getvariable('venous_gases') = 'as_mimic_code') AND 1 / (1 + exp(-(
        -0.02544
        + 0.04598 * po2
        + coalesce(-0.15356 * spo2, -0.15356 * 97.49420 + 0.13429)
        + coalesce(0.00621 * charted_fio2, 0.00621 * 51.49550 - 0.24958)
        + coalesce(0.10559 * hemoglobin, 0.10559 * 10.32307 + 0.05954)
        + coalesce(0.13251 * so2, 0.13251 * 93.66539 - 0.23172)
        + coalesce(-0.01511 * pco2, -0.01511 * 42.08866 - 0.01630)
        + coalesce(0.01480 * fio2, 0.01480 * 63.97836 - 0.31142)
        + coalesce(-0.00200 * aado2, -0.00200 * 442.21186 - 0.01328)
        + coalesce(-0.03220 * bicarbonate, -0.03220 * 22.96894 - 0.06535)
        + coalesce(0.05384 * totalco2, 0.05384 * 24.72632 - 0.01405)
        + coalesce(0.08202 * lactate, 0.08202 * 3.06436 + 0.06038)
        + coalesce(0.10956 * ph, 0.10956 * 7.36233 - 0.00617)
        + coalesce(0.00848 * o2flow, 0.00848 * 7.59362 - 0.35803)
    ))) > 0.75
),

of_stays AS (
    SELECT
        stay_bounds.icustay_id,
        arterial.charttime,
        arterial.ratio
    FROM arterial
    JOIN admissions USING (hadm_id)
    JOIN stay_bounds
        ON admissions.subject_id = stay_bounds.subject_id
        AND arterial.charttime >= data_start
        AND arterial.charttime < data_end
    QUALIFY row_number() OVER (PARTITION BY arterial.hadm_id, arterial.charttime ORDER BY intime DESC) = 1
)

SELECT
    of_stays.icustay_id,
    of_stays.charttime,
    stay_hour(of_stays.charttime, origin) AS hour,
    ratio,
    coalesce(of_stays.charttime <= ventilation.endtime, false) AS ventilated
FROM of_stays
JOIN stay_clock USING (icustay_id)
ASOF LEFT JOIN ventilation
    ON of_stays.icustay_id = ventilation.icustay_id AND of_stays.charttime >= ventilation.starttime
WHERE stay_hour(of_stays.charttime, origin) BETWEEN -24 AND last_hour
