CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.leases (
    server text NOT NULL,
    holder text NOT NULL,
    who text NOT NULL,
    since timestamp with time zone NOT NULL,
    expires timestamp with time zone NOT NULL,
    run integer
);
CREATE TABLE public.meta (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.runs (
    number integer NOT NULL,
    server text NOT NULL,
    command text NOT NULL,
    who text NOT NULL,
    spec_digest text NOT NULL,
    plan_digest text NOT NULL,
    tool_version text NOT NULL,
    outcome text NOT NULL,
    started timestamp with time zone NOT NULL,
    ended timestamp with time zone,
    message text DEFAULT ''::text NOT NULL
);
CREATE SEQUENCE public.runs_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.runs_number_seq OWNED BY public.runs.number;
CREATE TABLE public.writes (
    run integer NOT NULL,
    realm text NOT NULL,
    "position" integer NOT NULL,
    server text NOT NULL,
    before text NOT NULL,
    intent text,
    fingerprints text NOT NULL,
    step text NOT NULL,
    after text,
    error text NOT NULL,
    started timestamp with time zone,
    ended timestamp with time zone
);
ALTER TABLE ONLY public.runs ALTER COLUMN number SET DEFAULT nextval('public.runs_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0003');
INSERT INTO public.leases VALUES ('https://id.example.com', '0123456789abcdef0123456789abcdef', 'eve on desk', '2026-11-29 07:46:10.324683+09', '2026-11-29 07:47:10.327781+09', 3);
INSERT INTO public.meta VALUES ('salt', '1957cc066a45e08f501413304493f94a34d0f6cf95e8aef431ed33802c3d5de8');
INSERT INTO public.meta VALUES ('written_by', '0.1.0');
INSERT INTO public.runs VALUES (1, 'https://id.example.com', 'apply', 'eve on desk', 'sha256:1', '', '0.1.0', 'done', '2026-11-29 07:46:10.250841+09', '2026-11-29 07:46:10.257789+09', 'Launch of Acme');
INSERT INTO public.runs VALUES (2, 'https://other.example.com', 'apply --plan', 'bob', '', 'sha256:2', '0.1.0', 'done', '2026-11-29 07:46:10.260942+09', '2026-11-29 07:46:10.263127+09', '');
INSERT INTO public.runs VALUES (3, 'https://id.example.com', 'rotate', 'eve on desk', '', '', '0.1.0', 'running', '2026-11-29 07:46:10.265135+09', NULL, 'SMTP password leaked, ticket 42');
INSERT INTO public.writes VALUES (1, 'acme', 0, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'verified', '{"host":"smtp.example.com","password":"**********"}', '', '2026-11-29 07:46:10.252594+09', '2026-11-29 07:46:10.257002+09');
INSERT INTO public.writes VALUES (1, 'Übung', 1, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'verified', '{"host":"smtp.example.com"}', '', '2026-11-29 07:46:10.252594+09', '2026-11-29 07:46:10.257002+09');
INSERT INTO public.writes VALUES (1, 'globex', 2, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'verified', '{"host":"smtp.example.com"}', '', '2026-11-29 07:46:10.252594+09', '2026-11-29 07:46:10.257002+09');
INSERT INTO public.writes VALUES (2, 'acme', 0, 'https://other.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"other.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'accepted', NULL, '', NULL, '2026-11-29 07:46:10.262574+09');
INSERT INTO public.writes VALUES (3, 'initech', 2, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'planned', NULL, '', NULL, NULL);
INSERT INTO public.writes VALUES (3, 'acme', 0, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'writing', NULL, '', '2026-11-29 07:46:10.266144+09', NULL);
INSERT INTO public.writes VALUES (3, 'globex', 1, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'failed', '{"host":"smtp.example.com"}', 'the server did not keep `host` as written', '2026-11-29 07:46:10.266144+09', '2026-11-29 07:46:10.266717+09');
SELECT pg_catalog.setval('public.runs_number_seq', 3, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (server);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_pkey PRIMARY KEY (run, realm);
CREATE INDEX writes_by_realm ON public.writes USING btree (server, realm, step, run);
ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_run_fkey FOREIGN KEY (run) REFERENCES public.runs(number);
