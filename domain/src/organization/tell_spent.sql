WITH spent AS (
  UPDATE organization_credits c SET told_percent = CASE WHEN c.spent >= c.purchased THEN 100 ELSE 80 END
  WHERE c.organization_id = ANY (:organizations) AND c.purchased > 0 AND c.spent >= 0.8 * c.purchased
    AND c.told_percent < CASE WHEN c.spent >= c.purchased THEN 100 ELSE 80 END
  RETURNING c.organization_id, c.told_percent AS percent
)
SELECT s.organization_id, s.percent, l.user_id
FROM spent s CROSS JOIN LATERAL (
  SELECT m.user_id FROM members m
  WHERE m.organization_id = s.organization_id AND m.status = 'active' AND m.role = ANY (:leaders)
  ORDER BY m.role <> 'owner', m.id LIMIT :most
) l
