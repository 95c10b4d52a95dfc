drop table if exists widgets;
