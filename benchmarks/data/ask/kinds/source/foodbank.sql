-- Schema of the food bank in Carrow Street.
-- PostgreSQL, but nothing in it is exotic. The comments explain the rules of the house;
-- if a rule changes, change the comment in the same commit.
-- Kept by Winifred Oyelaran, who also knows where the good trolley is.

BEGIN;

-- Households, not persons. We ask for the number of people and whether there are babies,
-- and we do not ask for papers. A card is valid for twelve months and is then renewed in a
-- talk of a quarter of an hour, with tea.
CREATE TABLE household (
    id            serial PRIMARY KEY,
    card_number   varchar(8) NOT NULL UNIQUE,
    people        smallint NOT NULL CHECK (people BETWEEN 1 AND 14),
    babies        smallint NOT NULL DEFAULT 0,
    diet          text,             -- halal, vegetarian, no nuts, and so on
    valid_until   date NOT NULL
);

-- Every household may come once a week. Points are what limits the basket: a household
-- gets 20 points per visit and a further 6 for each person after the first. Nappies,
-- bread of the day before and vegetables cost no points at all.
CREATE TABLE visit (
    id            serial PRIMARY KEY,
    household_id  integer NOT NULL REFERENCES household (id),
    day           date NOT NULL DEFAULT current_date,
    points_used   smallint NOT NULL,
    remark        text,
    UNIQUE (household_id, day)
);

-- Where the food comes from. Supermarkets ring before eight; the bakery simply leaves its
-- crates at the back door. Do not take anything from the wholesaler in Dock Lane any more,
-- his frozen fish had been thawed twice.
CREATE TABLE donor (
    id            serial PRIMARY KEY,
    name          text NOT NULL,
    pickup        text CHECK (pickup IN ('van', 'bicycle', 'brings it')),
    agreement_on  date
);

CREATE TABLE item (
    id            serial PRIMARY KEY,
    name          text NOT NULL,
    points        smallint NOT NULL,
    cold_chain    boolean NOT NULL DEFAULT false
);

-- Stock is kept per batch. For "best before" dates we go on giving out tins for a year and
-- dry pasta for half a year after the date, with a green dot on them. "Use by" is another
-- matter, and the view below leaves such batches out from the day itself.
CREATE TABLE batch (
    id            serial PRIMARY KEY,
    item_id       integer NOT NULL REFERENCES item (id),
    donor_id      integer REFERENCES donor (id),
    quantity      integer NOT NULL,
    best_before   date,
    use_by        date,
    shelf         varchar(4)
);

-- The van is insured for drivers over 23. Its refrigerated box must be at 4 degrees or
-- less before loading, and the driver writes the temperature down at both ends of the trip.
CREATE TABLE trip (
    id            serial PRIMARY KEY,
    driver        text NOT NULL,
    started       timestamp NOT NULL,
    temp_start    numeric(3,1),
    temp_end      numeric(3,1),
    kilometres    integer
);

CREATE VIEW on_the_shelf AS
SELECT i.name, sum(b.quantity) AS quantity, min(b.best_before) AS oldest
FROM batch b JOIN item i ON i.id = b.item_id
WHERE b.use_by IS NULL OR b.use_by > current_date
GROUP BY i.name;

-- Names of volunteers are deleted two years after their last shift (decision of the
-- trustees). The statistics for the council need only numbers of households and people.
CREATE TABLE shift (
    day           date NOT NULL,
    volunteer     text NOT NULL,
    task          text NOT NULL,
    hours         numeric(3,1) NOT NULL
);

COMMIT;
