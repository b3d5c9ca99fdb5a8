-- How many ICU stays have each part of Sepsis-3.
--
-- Needs: sofa, suspicion_of_infection, sepsis3
-- Result: one row of counts, each named as in docs/cohorts.md.
SELECT
    (SELECT count(*) FROM icustays) AS "ICU stays",
    (SELECT count(DISTINCT icustay_id) FROM sofa) AS "with hours",
    (SELECT count(DISTINCT icustay_id) FROM sofa WHERE sofa >= 2) AS "SOFA of at least 2 in some hour",
    (SELECT count(DISTINCT icustay_id) FROM suspicion_of_infection) AS "suspicion of infection in the admission",
    (SELECT count(*) FROM sepsis3) AS "Sepsis-3"
