CREATE TABLE store (version BIGINT PRIMARY KEY);
CREATE TABLE gateways (
    id INTEGER PRIMARY KEY,
    guid TEXT NOT NULL UNIQUE
);
CREATE TABLE elements (
    id INTEGER PRIMARY KEY,
    gateway BIGINT NOT NULL REFERENCES gateways (id),
    meter TEXT NOT NULL,
    obis TEXT NOT NULL,
    aggregation TEXT NOT NULL,
    within BIGINT NOT NULL,
    UNIQUE (gateway, meter, obis, aggregation, within)
);
CREATE TABLE grids (
    element BIGINT NOT NULL REFERENCES elements (id),
    step BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (element, step)
);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    gateway BIGINT NOT NULL REFERENCES gateways (id),
    message TEXT NOT NULL,
    request TEXT NOT NULL,
    time BIGINT NOT NULL,
    digest TEXT NOT NULL,
    signed BLOB NOT NULL,
    UNIQUE (gateway, message)
);
CREATE TABLE readings (
    element BIGINT NOT NULL REFERENCES elements (id),
    time BIGINT NOT NULL,
    value TEXT NOT NULL,
    unit TEXT NOT NULL,
    status BIGINT NOT NULL,
    answer BIGINT NOT NULL REFERENCES answers (id),
    PRIMARY KEY (element, time)
) WITHOUT ROWID;
CREATE TABLE gaps (
    element BIGINT NOT NULL REFERENCES elements (id),
    time BIGINT NOT NULL,
    reason TEXT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (element, time)
) WITHOUT ROWID;
CREATE TABLE conflicts (
    element BIGINT NOT NULL REFERENCES elements (id),
    time BIGINT NOT NULL,
    value TEXT NOT NULL,
    unit TEXT NOT NULL,
    status BIGINT NOT NULL,
    answer BIGINT NOT NULL REFERENCES answers (id),
    PRIMARY KEY (element, time, value, unit, status)
);
CREATE TABLE rests (
    gateway BIGINT NOT NULL REFERENCES gateways (id),
    number BIGINT NOT NULL,
    elements TEXT NOT NULL,
    begins BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    step BIGINT NOT NULL,
    aggregation TEXT NOT NULL,
    PRIMARY KEY (gateway, number)
);
INSERT INTO store VALUES (1);
INSERT INTO gateways VALUES (1, 'fd5a::1');
INSERT INTO elements VALUES (1, 1, 'M1', '1-0:1.8.0*255', 'value', 0);
INSERT INTO grids VALUES (1, 900, 900, 2700);
INSERT INTO answers VALUES (1, 1, '01010101010101010101010101010101', 'ffffffffffffffffffffffffffffffff', 1000000, '4a3cdfae6f291c8f544daea5b72905cf9e74c1ed427d831ad0d7ca00c73c794d', x'7369676e6564');
INSERT INTO readings VALUES (1, 900, '12.340', 'Wh', 0, 1);
INSERT INTO readings VALUES (1, 2700, '12.5', 'Wh', 0, 1);
INSERT INTO gaps VALUES (1, 1800, 'no-answer', 1);
INSERT INTO conflicts VALUES (1, 900, '12.350', 'Wh', 0, 1);
INSERT INTO rests VALUES (1, 0, '*/1-0:1.8.0*255', 3600, 7200, 900, 'value');
