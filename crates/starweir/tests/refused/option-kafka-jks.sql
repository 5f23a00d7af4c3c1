CREATE TABLE s (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'k:9092', 'scan.startup.mode' = 'earliest-offset', 'properties.ssl.truststore.location' = '/x.jks', 'format' = 'json');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
