"""Describe all that a database of PostgreSQL contains but rows, so that two can be compared."""

NOT_SYSTEM = "NOT LIKE ALL (ARRAY['pg\\_%', 'information\\_schema'])"
_SORTED = "(SELECT array_agg(item::text ORDER BY item::text) FROM unnest({}) AS item)"  # privileges, in any order
# without what the server keeps there for itself (`pg_attver`), which differs between tables that were made the same way
_OPTIONS = "(SELECT array_agg(item ORDER BY item) FROM unnest({}) AS item WHERE left(item, 3) <> 'pg_')"
# what an extension has made follows from its version
_OF_NO_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = {}.oid AND e.deptype = 'e')"

# A line for each thing that a user can create, as PostgreSQL itself describes it. The second value is the quoted name
# of what has rows.
SCHEMA = f"""
SELECT json_build_array(line, name) FROM (
  SELECT format('table %I.%I', n.nspname, c.relname) AS line, format('%I.%I', n.nspname, c.relname) AS name, 0 AS part
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND c.relispopulated AND n.nspname {NOT_SYSTEM}
  UNION ALL SELECT format('storage of %s: %s %s, row security %s %s, options %s, part of %s %s', c.oid::regclass,
      c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, {_OPTIONS.format("c.reloptions")},
      (SELECT array_agg(inhparent::regclass::text ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
      pg_get_expr(c.relpartbound, c.oid)), NULL, 1
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname {NOT_SYSTEM}
  UNION ALL SELECT format('column %s %s %I %s %s %s, identity %s, generated %s, collation %s, storage %s, options %s',
      a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
      pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, nullif(a.attcollation, 0)::regcollation,
      a.attstorage, concat_ws(' ', a.attstattarget, {_OPTIONS.format("a.attoptions")})), NULL, 2
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE a.attnum > 0 AND NOT a.attisdropped AND n.nspname {NOT_SYSTEM}
  UNION ALL SELECT format('constraint %s %s %s', nullif(k.conrelid, 0)::regclass, nullif(k.contypid, 0)::regtype,
      pg_get_constraintdef(k.oid)), NULL, 3
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE n.nspname {NOT_SYSTEM}
  UNION ALL SELECT 'index ' || indexdef, NULL, 4 FROM pg_indexes WHERE schemaname {NOT_SYSTEM}
  UNION ALL SELECT format('trigger %s %s', tgenabled, pg_get_triggerdef(oid)), NULL, 5
    FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'view ' || viewname || ' ' || definition, NULL, 6 FROM pg_views WHERE schemaname {NOT_SYSTEM}
  UNION ALL SELECT 'materialized view ' || matviewname || ' ' || definition, NULL, 6
    FROM pg_matviews WHERE schemaname {NOT_SYSTEM}
  UNION ALL SELECT 'function ' || CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid)
      ELSE p.oid::regprocedure || ' ' || p.prosrc END, NULL, 7
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname {NOT_SYSTEM} AND {_OF_NO_EXTENSION.format("p")}
  UNION ALL SELECT 'rule ' || definition, NULL, 8 FROM pg_rules WHERE schemaname {NOT_SYSTEM}
  UNION ALL SELECT format('policy %I on %I.%I: %s for %s to %s using %s with check %s', policyname, schemaname,
      tablename, permissive, cmd, roles, qual, with_check), NULL, 8 FROM pg_policies
  UNION ALL SELECT format('enum %s: %s', enumtypid::regtype, array_agg(enumlabel ORDER BY enumsortorder)), NULL, 9
    FROM pg_enum GROUP BY enumtypid
  UNION ALL SELECT format('domain %s: %s %s %s', t.oid::regtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
      t.typdefault), NULL, 9
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND n.nspname {NOT_SYSTEM}
  UNION ALL SELECT 'statistics ' || pg_get_statisticsobjdef(oid), NULL, 9 FROM pg_statistic_ext
  UNION ALL SELECT format('sequence %I.%I: %s, %s to %s, from %s by %s, cycle %s, cache %s', schemaname, sequencename,
      data_type, min_value, max_value, start_value, increment_by, cycle, cache_size), NULL, 9 FROM pg_sequences
  UNION ALL SELECT format('event trigger %I: %s %s %s %s', evtname, evtevent, evtfoid::regproc, evtenabled, evttags),
      NULL, 9 FROM pg_event_trigger
  UNION ALL SELECT format('extension %I %s', extname, extversion), NULL, 9 FROM pg_extension
  UNION ALL SELECT format('privileges of %s: owner %s, %s', c.oid::regclass, pg_get_userbyid(c.relowner),
      {_SORTED.format("c.relacl")}), NULL, 10
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S') AND n.nspname {NOT_SYSTEM}
  UNION ALL SELECT format('privileges of %s %I: %s', a.attrelid::regclass, a.attname, {_SORTED.format("a.attacl")}),
      NULL, 10 FROM pg_attribute a WHERE a.attacl IS NOT NULL AND a.attrelid >= 16384
  UNION ALL SELECT format('privileges of %s: owner %s, %s', p.oid::regprocedure, pg_get_userbyid(p.proowner),
      {_SORTED.format("p.proacl")}), NULL, 10
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname {NOT_SYSTEM} AND {_OF_NO_EXTENSION.format("p")}
  UNION ALL SELECT format('privileges of schema %I: owner %s, %s', nspname, pg_get_userbyid(nspowner),
      {_SORTED.format("nspacl")}), NULL, 10 FROM pg_namespace WHERE nspname {NOT_SYSTEM}
  UNION ALL SELECT format('database of %s, limit %s, privileges %s', pg_get_userbyid(datdba), datconnlimit,
      {_SORTED.format("coalesce(datacl, acldefault('d', datdba))")}), NULL, 11
    FROM pg_database WHERE datname = current_database()
  UNION ALL SELECT format('setting of %s: %s', nullif(s.setrole, 0)::regrole, setting), NULL, 11
    FROM pg_database d JOIN pg_db_role_setting s ON s.setdatabase = d.oid, unnest(s.setconfig) AS setting
    WHERE datname = current_database()
) AS lines ORDER BY part, line"""
