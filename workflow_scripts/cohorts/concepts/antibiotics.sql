-- Prescriptions of systemic antibiotics: by name, as main drug or additive, without routes to eye and ear or through
-- the skin, and without creams, gels, ointments for the eye and desensitisation. By the choice `antibiotic_names` the
-- names are those of mimic-code's list for MIMIC-III, or also what that list lacks: ceftriaxone and other
-- cephalosporins, carbapenems, linezolid, daptomycin, tigecycline and colistin under their generic names. By the choice
-- `antibiotic_rows` each prescription is judged by itself, or a drug counts in every prescription as soon as any
-- prescription of exactly that name in the whole data set passes, as in mimic-code, which joins by name.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/treatment/abx_prescriptions_list.sql and suspicion_of_infection.sql;
--   mimic-iv/concepts/medication/antibiotic.sql for ceftriaxone, ceftaroline, cefpirome, meropenem, linezolid,
--   nafcillin, norfloxacin and streptomycin.
-- Result: hadm_id, drug, startdate (a date, as prescriptions in MIMIC-III have no time).
WITH judged AS (
    SELECT
        hadm_id,
        drug,
        startdate,
        coalesce(
            drug_type IN ('MAIN', 'ADDITIVE')
            AND route NOT IN ('OU', 'OS', 'OD', 'AU', 'AS', 'AD', 'TP')
            AND NOT regexp_matches(lower(route), 'ear|eye')
            AND NOT regexp_matches(lower(drug), 'cream|desensitization|ophth oint|gel')
            AND (
                regexp_matches(
                    lower(drug),
                    'adoxa|ala-tet|alodox|amikacin|amikin|amoxicillin|clavulanate|ampicillin|augmentin|avelox|avidoxy'
                    || '|azactam|azithromycin|aztreonam|axetil|bactocill|bactrim|bethkis|biaxin|bicillin l-a|cayston'
                    || '|cefazolin|cedax|cefoxitin|ceftazidime|cefaclor|cefadroxil|cefdinir|cefditoren|cefepime'
                    || '|cefotetan|cefotaxime|cefpodoxime|cefprozil|ceftibuten|ceftin|cefuroxime|cephalexin'
                    || '|chloramphenicol|cipro|claforan|clarithromycin|cleocin|clindamycin|cubicin|dicloxacillin|doryx'
                    || '|doxycycline|duricef|dynacin|ery-tab|eryped|eryc|erythrocin|erythromycin|factive|flagyl|fortaz'
                    || '|furadantin|garamycin|gentamicin|kanamycin|keflex|ketek|levaquin|levofloxacin|lincocin|macrobid'
                    || '|macrodantin|maxipime|mefoxin|metronidazole|minocin|minocycline|monodox|monurol|morgidox'
                    || '|moxatag|moxifloxacin|myrac|nafcillin sodium|nicazel doxy 30|nitrofurantoin|noroxin|ocudox'
                    || '|ofloxacin|omnicef|oracea|oraxyl|oxacillin|pc pen vk|pce dispertab|panixine|pediazole'
                    || '|penicillin|periostat|pfizerpen|piperacillin|tazobactam|primsol|proquin|raniclor|rifadin'
                    || '|rifampin|rocephin|smz-tmp|septra|solodyn|spectracef|streptomycin sulfate|sulfadiazine'
                    || '|sulfamethoxazole|trimethoprim|sulfatrim|sulfisoxazole|suprax|synercid|tazicef|tetracycline'
                    || '|timentin|tobi|tobramycin|unasyn|vancocin|vancomycin|vantin|vibativ|vibra-tabs|vibramycin'
                    || '|zinacef|zithromax|zmax|zosyn|zyvox'
                )
                OR getvariable('antibiotic_names') = 'complete' AND regexp_matches(
                    lower(drug),
                    'ceftriaxone|ceftaroline|cefpirome|penem|cilastatin|linezolid|daptomycin|tigecycline|colisti'
                    || '|nafcillin|norfloxacin|streptomycin|telavancin|quinupristin|fosfomycin'
                )
            ),
            false
        ) AS is_antibiotic
    FROM prescriptions
)

SELECT
    hadm_id,
    drug,
    startdate
FROM judged
WHERE CASE getvariable('antibiotic_rows')
    WHEN 'by_prescription' THEN is_antibiotic
    ELSE drug IN (SELECT drug FROM judged WHERE is_antibiotic)
END
