select 1;
  {{ template "shared/a.sql" . }}
