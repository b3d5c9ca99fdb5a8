-- What Table 1 says of each ICU stay beside the cohort table. The first day's SOFA is that of the 24th hour, which has
-- the worst values of the stay's first 24 hours; a shorter stay has its last hour's.
--
-- Needs: sofa
-- Result: icustay_id, sex, icu_type, sofa (0 to 24, null for a stay without hours), one row for each ICU stay.
WITH first_day AS (
    SELECT
        icustay_id,
        arg_max(sofa, (hour, sofa)) AS sofa
    FROM sofa
    WHERE hour BETWEEN 0 AND 24
    GROUP BY icustay_id
)

SELECT
    icustays.icustay_id,
    CASE patients.gender WHEN 'F' THEN 'female' WHEN 'M' THEN 'male' END AS sex,
    icustays.first_careunit AS icu_type,
    first_day.sofa
FROM icustays
LEFT JOIN patients ON icustays.subject_id = patients.subject_id
LEFT JOIN first_day ON icustays.icustay_id = first_day.icustay_id
