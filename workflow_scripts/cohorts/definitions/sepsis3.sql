-- Sepsis-3: the first hour of an ICU stay with a SOFA of at least 2 from 48 hours before to 24 hours after a suspicion
-- of infection (bounds included). The SOFA before the infection is taken as 0. By the choice `suspicions` any suspicion
-- counts, or the stay's earliest one only.
--
-- Citation: Singer M, Deutschman CS, Seymour CW, et al. The third international consensus definitions for sepsis and
--   septic shock (Sepsis-3). JAMA 2016;315(8):801-810. Window: Seymour CW, Liu VX, Iwashyna TJ, et al. Assessment of
--   clinical criteria for sepsis. JAMA 2016;315(8):762-774.
-- Source: MIT-LCP/mimic-code, mimic-iv/concepts/sepsis/sepsis3.sql (there is none for MIMIC-III). It keeps the
--   earliest suspicion that has such an hour, which gives the same stays and hours as any suspicion.
-- Needs: sofa, suspicion_of_infection
-- Onset: required
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       end of that hour
WITH suspicions AS (
    SELECT DISTINCT icustay_id, suspicion_time
    FROM suspicion_of_infection
    QUALIFY
        getvariable('suspicions') = 'any'
        OR suspicion_time = min(suspicion_time) OVER (PARTITION BY icustay_id)
)

SELECT
    icustay_id,
    min(endtime) AS onset
FROM sofa
JOIN suspicions USING (icustay_id)
WHERE
    sofa >= 2
    AND endtime BETWEEN suspicion_time - INTERVAL 48 HOUR AND suspicion_time + INTERVAL 24 HOUR
GROUP BY icustay_id
