CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.journal_requests (
    number integer NOT NULL,
    server text NOT NULL,
    name text NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    content text NOT NULL,
    digest text NOT NULL,
    request_key text NOT NULL,
    priority integer NOT NULL,
    who text NOT NULL,
    message text NOT NULL,
    tool_version text NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    is_cancelled integer NOT NULL,
    exit_status integer,
    summary text NOT NULL,
    report text NOT NULL,
    report_text text NOT NULL,
    mails text NOT NULL,
    submitted timestamp with time zone NOT NULL,
    due timestamp with time zone NOT NULL,
    started timestamp with time zone,
    ended timestamp with time zone
);
CREATE SEQUENCE public.journal_requests_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.journal_requests_number_seq OWNED BY public.journal_requests.number;
CREATE TABLE public.journal_servers (
    server text NOT NULL,
    name text NOT NULL,
    queue text NOT NULL
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
    message text DEFAULT ''::text NOT NULL,
    request integer
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
ALTER TABLE ONLY public.journal_requests ALTER COLUMN number SET DEFAULT nextval('public.journal_requests_number_seq'::regclass);
ALTER TABLE ONLY public.runs ALTER COLUMN number SET DEFAULT nextval('public.runs_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0004');
INSERT INTO public.journal_requests VALUES (2, 'https://id.example.com', 'prod', 'default', 'drift', '{"format":1,"realms":[]}', 'sha256:drift', '', 0, 'eve on desk', '', '0.1.0', 'waiting', 0, 0, NULL, '', '', '', '', '2026-11-29 11:56:27.7633+09', '2026-11-29 11:56:27.7633+09', NULL, NULL);
INSERT INTO public.journal_requests VALUES (3, 'https://other.example.com', 'prod', 'default', 'test-stored', '{"format":1,"realms":[]}', 'sha256:test-stored', '', 0, 'eve on desk', '', '0.1.0', 'done', 1, 0, 0, '1 realm: works', '{}', 'acme works
', '', '2026-11-29 11:56:27.769023+09', '2026-11-29 11:56:27.769023+09', '2026-11-29 11:56:27.770568+09', '2026-11-29 11:56:27.78228+09');
INSERT INTO public.journal_requests VALUES (1, 'https://id.example.com', 'prod', 'default', 'apply', '{"format":1,"realms":[]}', 'sha256:apply', 'order 4711', 0, 'eve on desk', 'SMTP password leaked, ticket 42', '0.1.0', 'running', 1, 0, NULL, '', '', '', '', '2026-11-29 11:56:27.750533+09', '2026-11-29 11:56:27.750533+09', '2026-11-29 11:56:27.786205+09', NULL);
INSERT INTO public.journal_servers VALUES ('https://id.example.com', 'prod', 'default');
INSERT INTO public.journal_servers VALUES ('https://other.example.com', 'prod', 'default');
INSERT INTO public.leases VALUES ('https://id.example.com', '0123456789abcdef0123456789abcdef', 'eve on desk', '2026-11-29 11:56:27.79139+09', '2026-11-29 11:57:27.79139+09', 3);
INSERT INTO public.meta VALUES ('salt', 'c3ae52f5122c411e7699536d6b5867df624cd603ccfd8b9ca7b75a21bc5553b8');
INSERT INTO public.meta VALUES ('written_by', '0.1.0');
INSERT INTO public.runs VALUES (1, 'https://id.example.com', 'apply', 'eve on desk', 'sha256:1', '', '0.1.0', 'done', '2026-11-29 11:56:27.726823+09', '2026-11-29 11:56:27.734968+09', 'Launch of Acme', NULL);
INSERT INTO public.runs VALUES (2, 'https://other.example.com', 'apply --plan', 'bob', '', 'sha256:2', '0.1.0', 'done', '2026-11-29 11:56:27.736631+09', '2026-11-29 11:56:27.74026+09', '', NULL);
INSERT INTO public.runs VALUES (3, 'https://id.example.com', 'rotate', 'eve on desk', '', '', '0.1.0', 'running', '2026-11-29 11:56:27.79139+09', NULL, 'SMTP password leaked, ticket 42', 1);
INSERT INTO public.writes VALUES (1, 'acme', 0, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'verified', '{"host":"smtp.example.com","password":"**********"}', '', '2026-11-29 11:56:27.731132+09', '2026-11-29 11:56:27.733985+09');
INSERT INTO public.writes VALUES (1, 'Übung', 1, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'verified', '{"host":"smtp.example.com"}', '', '2026-11-29 11:56:27.731132+09', '2026-11-29 11:56:27.733985+09');
INSERT INTO public.writes VALUES (1, 'globex', 2, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'verified', '{"host":"smtp.example.com"}', '', '2026-11-29 11:56:27.731132+09', '2026-11-29 11:56:27.733985+09');
INSERT INTO public.writes VALUES (2, 'acme', 0, 'https://other.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"other.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'accepted', NULL, '', NULL, '2026-11-29 11:56:27.737946+09');
INSERT INTO public.writes VALUES (3, 'initech', 2, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'planned', NULL, '', NULL, NULL);
INSERT INTO public.writes VALUES (3, 'acme', 0, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'writing', NULL, '', '2026-11-29 11:56:27.794579+09', NULL);
INSERT INTO public.writes VALUES (3, 'globex', 1, 'https://id.example.com', '{"host":"old.example.com","password":"**********"}', '{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}', '{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}', 'failed', '{"host":"smtp.example.com"}', 'the server did not keep `host` as written', '2026-11-29 11:56:27.794579+09', '2026-11-29 11:56:27.795321+09');
SELECT pg_catalog.setval('public.journal_requests_number_seq', 3, true);
SELECT pg_catalog.setval('public.runs_number_seq', 3, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.journal_requests
    ADD CONSTRAINT journal_requests_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.journal_servers
    ADD CONSTRAINT journal_servers_pkey PRIMARY KEY (server);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (server);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_pkey PRIMARY KEY (run, realm);
CREATE UNIQUE INDEX requests_by_digest ON public.journal_requests USING btree (digest, request_key) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));
CREATE INDEX requests_by_end ON public.journal_requests USING btree (ended) WHERE (ended IS NOT NULL);
CREATE UNIQUE INDEX requests_by_key ON public.journal_requests USING btree (server, request_key) WHERE (request_key <> ''::text);
CREATE INDEX requests_left ON public.journal_requests USING btree (server, priority, number) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));
CREATE INDEX requests_to_stop ON public.journal_requests USING btree (number) WHERE ((state = 'running'::text) AND (is_cancelled = 1));
CREATE INDEX runs_by_request ON public.runs USING btree (request) WHERE (request IS NOT NULL);
CREATE INDEX runs_by_server ON public.runs USING btree (server, number);
CREATE INDEX writes_by_realm ON public.writes USING btree (server, realm, step, run);
CREATE INDEX writes_in_doubt ON public.writes USING btree (server, realm, run) WHERE (step = ANY (ARRAY['writing'::text, 'written'::text]));
ALTER TABLE ONLY public.writes
    ADD CONSTRAINT writes_run_fkey FOREIGN KEY (run) REFERENCES public.runs(number);
