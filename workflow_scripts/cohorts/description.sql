-- What Table 1 says of each ICU stay beside the cohort table.
--
-- Needs: sofa_first_day
-- Result: icustay_id, sex, icu_type, sofa (0 to 24, null for a stay without hours), one row for each ICU stay.
SELECT
    icustays.icustay_id,
    CASE patients.gender WHEN 'F' THEN 'female' WHEN 'M' THEN 'male' END AS sex,
    icustays.first_careunit AS icu_type,
    sofa_first_day.sofa
FROM icustays
LEFT JOIN patients ON icustays.subject_id = patients.subject_id
LEFT JOIN sofa_first_day ON icustays.icustay_id = sofa_first_day.icustay_id
