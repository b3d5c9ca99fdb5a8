-- Sepsis-3: the first hour of an ICU stay with a SOFA of at least 2 from 48 hours before to 24 hours after a suspicion
-- of infection (bounds included), and when that could be known. By the choice `suspicions` any suspicion counts, or the
-- stay's earliest one only.
--
-- Citation: Singer M, Deutschman CS, Seymour CW, et al. The third international consensus definitions for sepsis and
--   septic shock (Sepsis-3). JAMA 2016;315(8):801-810; source and window: see sepsis3.sql.
-- Needs: sofa, suspicion_of_infection
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   first_hour  end of the first such hour. Culture or antibiotic may be later.
--   knowable    the first time at which such an hour has ended and culture and antibiotic of its suspicion are known
WITH suspicions AS (
    SELECT DISTINCT icustay_id, suspicion_time, known_time
    FROM suspicion_of_infection
    QUALIFY
        getvariable('suspicions') = 'any'
        OR suspicion_time = min(suspicion_time) OVER (PARTITION BY icustay_id)
)

SELECT
    icustay_id,
    min(endtime) AS first_hour,
    min(greatest(endtime, known_time)) AS knowable
FROM sofa
JOIN suspicions USING (icustay_id)
WHERE
    sofa >= 2
    AND endtime BETWEEN suspicion_time - INTERVAL 48 HOUR AND suspicion_time + INTERVAL 24 HOUR
GROUP BY icustay_id
