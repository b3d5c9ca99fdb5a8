-- Suspicion of infection: an antibiotic with a culture of the same admission, of any specimen, positive or not. The
-- culture was taken up to 72 hours before the antibiotic (from its date 96 hours, where it has no time); failing that,
-- up to 24 hours after it; bounds included. The suspicion's time is the culture's. Every pair of an admission applies
-- to each of its ICU stays.
--
-- Citation: Seymour CW, Liu VX, Iwashyna TJ, et al. Assessment of clinical criteria for sepsis. JAMA
--   2016;315(8):762-774 (antibiotic within 72 h after a culture, or culture within 24 h after an antibiotic).
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/treatment/suspicion_of_infection.sql.
-- Needs: antibiotics
-- Result: icustay_id, antibiotic, antibiotic_time, suspicion_time, known_time (from when on both are known; what has a
--   date only, as every prescription of MIMIC-III, is known at the end of that day); each row once.
WITH cultures AS (
    SELECT DISTINCT
        hadm_id,
        coalesce(charttime, chartdate) AS culture_time,
        charttime IS NULL AS is_date
    FROM microbiologyevents
),

before AS (
    SELECT antibiotics.*, culture_time, is_date
    FROM antibiotics
    JOIN cultures
        ON antibiotics.hadm_id = cultures.hadm_id
        AND startdate >= culture_time
        AND startdate <= culture_time + CASE WHEN is_date THEN INTERVAL 96 HOUR ELSE INTERVAL 72 HOUR END
),

after AS (
    SELECT antibiotics.*, culture_time, is_date
    FROM antibiotics
    JOIN cultures
        ON antibiotics.hadm_id = cultures.hadm_id
        AND startdate <= culture_time
        AND startdate >= culture_time - INTERVAL 24 HOUR
    ANTI JOIN before
        ON antibiotics.hadm_id = before.hadm_id
        AND antibiotics.drug = before.drug
        AND antibiotics.startdate = before.startdate
)

SELECT DISTINCT
    icustay_id,
    drug AS antibiotic,
    startdate AS antibiotic_time,
    culture_time AS suspicion_time,
    greatest(
        startdate + INTERVAL 1 DAY,
        culture_time + CASE WHEN is_date THEN INTERVAL 1 DAY ELSE INTERVAL 0 DAY END
    ) AS known_time
FROM (FROM before UNION ALL FROM after)
JOIN icustays USING (hadm_id)
