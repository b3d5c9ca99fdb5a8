-- Sepsis-3: the first hour of an ICU stay with a SOFA of at least 2 from 48 hours before to 24 hours after a suspicion
-- of infection (bounds included). The SOFA before the infection is taken as 0. By the choice `suspicions` any suspicion
-- counts, or the stay's earliest one only.
--
-- Citation: Singer M, Deutschman CS, Seymour CW, et al. The third international consensus definitions for sepsis and
--   septic shock (Sepsis-3). JAMA 2016;315(8):801-810. Window: Seymour CW, Liu VX, Iwashyna TJ, et al. Assessment of
--   clinical criteria for sepsis. JAMA 2016;315(8):762-774.
-- Source: MIT-LCP/mimic-code, mimic-iv/concepts/sepsis/sepsis3.sql (there is none for MIMIC-III). It keeps the
--   earliest suspicion that has such an hour, which gives the same stays and hours as any suspicion.
-- Needs: sepsis_onsets
-- Onset: required
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       by the choice `onset` the end of that hour, or the time at which score and suspicion are both known
SELECT
    icustay_id,
    CASE getvariable('onset') WHEN 'knowable' THEN knowable ELSE first_hour END AS onset
FROM sepsis_onsets
