"""The reply book: known replies of relays lead to their cause, unknown ones to nothing, and none takes long."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from importlib import resources

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztrust_mail.core.data import schema_text
from ztrust_mail.providers.presets import all_presets
from ztrust_mail.providers.replies import MAX_TEXT, explain_reply, known_replies

GMAIL, M365, SES = "smtp.gmail.com", "smtp.office365.com", "email-smtp.eu-west-1.amazonaws.com"
ANY = "mail.example.com"
REPLIES = [
    (ANY, 530, "5.7.0 Must issue a STARTTLS command first", "starttls-required"),
    (ANY, 451, "5.7.3 STARTTLS is required to send mail", "starttls-required"),
    (ANY, 538, "Encryption required for requested authentication mechanism", "encryption-for-login"),
    (ANY, 535, "5.7.11 Encryption required for requested authentication mechanism", "encryption-for-login-status"),
    (ANY, 530, "5.7.1 Authentication required", "login-required"),
    (ANY, 550, "5.7.0 authentication required", "login-required"),
    (ANY, 503, "5.5.4 Error: send AUTH command first; you are not logged in", "login-required-first"),
    (ANY, 535, "5.7.8 Error: authentication failed: UGFzc3dvcmQ6", "login-refused"),
    (ANY, 535, "Incorrect authentication data", "login-refused"),
    (ANY, 534, "5.7.9 Authentication mechanism is too weak", "login-mechanism-weak"),
    (ANY, 454, "4.7.0 Temporary authentication failure", "login-failed-for-now"),
    (ANY, 554, "5.7.1 <a@b.example>: Relay access denied", "relay-denied"),
    (ANY, 550, "5.7.1 Unable to relay", "relay-denied"),
    (ANY, 550, "5.7.1 Sender address rejected: not owned by user apikey", "sender-not-owned"),
    (ANY, 450, "4.1.8 <a@b.example>: Sender address rejected: Domain not found", "sender-domain-unknown"),
    (ANY, 504, "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "helo-not-qualified"),
    (ANY, 501, "Syntax: HELO <hostname>", "helo-not-qualified"),
    (ANY, 450, "4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://…", "greylisted"),
    (ANY, 552, "5.3.4 Message size exceeds fixed limit", "too-large"),
    (ANY, 421, "4.7.0 Too many concurrent SMTP connections", "too-many-connections"),
    (ANY, 550, "5.1.1 <nobody@b.example>: Recipient address rejected: User unknown", "recipient-unknown"),
    (ANY, 550, "5.6.7 Address requires SMTPUTF8", "smtputf8-needed"),
    (ANY, 554, "Message rejected: Email address is not verified.", "not-verified"),
    (
        GMAIL,
        535,
        "5.7.8 Username and Password not accepted. Learn more at\n5.7.8 https://x - gsmtp",
        "gmail-login-refused",
    ),
    (GMAIL, 534, "5.7.9 Application-specific password required. - gsmtp", "gmail-app-password-required"),
    (
        GMAIL,
        534,
        "5.7.14 <https://accounts.google.com/…> Please log in via your web browser",
        "gmail-log-in-by-browser",
    ),
    (
        GMAIL,
        550,
        "5.7.26 This mail has been blocked because the sender is unauthenticated.",
        "gmail-unauthenticated-sender",
    ),
    ("smtp-relay.gmail.com", 421, "4.7.0 Try again later, closing connection. (EHLO) x - gsmtp", "gmail-ehlo-name"),
    ("smtp-relay.gmail.com", 421, "4.7.0 Try again later, closing connection.", "gmail-relay-greeting"),
    (GMAIL, 421, "4.7.0 Our system has detected an unusual rate of unsolicited mail", "gmail-unusual-rate"),
    (GMAIL, 421, "4.7.0 IP not in whitelist for RCPT domain, closing connection.", "gmail-address-not-permitted"),
    (GMAIL, 421, "4.7.0 TLS required for RCPT domain, closing connection.", "gmail-tls-required"),
    (GMAIL, 421, "4.3.0 Temporary System Problem. Try again later", "gmail-temporary"),
    ("smtp-relay.gmail.com", 550, "5.4.5 Daily SMTP relay limit exceeded for user.", "gmail-relay-limit-of-user"),
    (
        "smtp-relay.gmail.com",
        550,
        "5.7.1 Daily SMTP relay limit exceeded for customer.",
        "gmail-relay-limit-of-customer",
    ),
    ("smtp-relay.gmail.com", 450, "4.2.1 Peak SMTP relay limit exceeded for customer.", "gmail-relay-peak"),
    (M365, 535, "5.7.3 Authentication unsuccessful [LO6P265CA0005.GBRP265.PROD.OUTLOOK.COM]", "m365-login-refused"),
    (M365, 451, "5.7.3 STARTTLS is required to send mail [x.prod.outlook.com]", "m365-starttls-required"),
    (M365, 535, "5.7.139 Authentication unsuccessful, something new", "m365-smtp-auth-off"),
    (M365, 535, "5.7.139 … SmtpClientAuthentication is disabled for the Tenant. Visit …", "m365-smtp-auth-off-tenant"),
    (
        M365,
        535,
        "5.7.139 … SmtpClientAuthentication is disabled for the Mailbox. Visit …",
        "m365-smtp-auth-off-mailbox",
    ),
    (M365, 535, "5.7.139 Authentication unsuccessful, basic authentication is disabled. [x]", "m365-basic-disabled"),
    (M365, 550, "5.7.30 Basic authentication is not supported for Client Submission.", "m365-basic-unsupported"),
    (M365, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", "m365-send-as-denied"),
    (M365, 554, "5.2.252 SendAsDenied; a@b.example not allowed to send as c@d.example", "m365-send-as-denied-store"),
    (M365, 530, "5.7.57 Client not authenticated to send mail.", "m365-not-authenticated"),
    (M365, 530, "5.7.1 Client was not authenticated", "m365-not-authenticated-text"),
    (M365, 550, "5.1.8 Access denied, bad outbound sender", "m365-blocked-sender"),
    (M365, 451, "4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77714)", "m365-server-busy"),
    (
        SES,
        554,
        "Message rejected: Email address is not verified. The following identities failed: x",
        "ses-not-verified",
    ),
    (
        SES,
        554,
        "Access denied: User `arn` is not authorized to perform `ses:SendRawEmail` on resource",
        "ses-access-denied",
    ),
    (SES, 535, "Authentication Credentials Invalid", "ses-login-refused"),
    (SES, 535, "Account not subscribed to SES", "ses-not-subscribed"),
    (SES, 530, "Authentication required", "ses-login-required"),
    (SES, 454, "Throttling failure: Maximum sending rate exceeded", "ses-rate"),
    (SES, 454, "Throttling failure: Daily message quota exceeded", "ses-quota"),
    (SES, 454, "Temporary authentication failure", "ses-login-failed-for-now"),
    ("smtp.sendgrid.net", 535, "Authentication failed: Bad username / password", "sendgrid-login-refused"),
    ("smtp.sendgrid.net", 550, "Unauthenticated senders not allowed", "sendgrid-unauthenticated"),
    (
        "smtp.sendgrid.net",
        550,
        "The from address does not match a verified Sender Identity. Mail cannot be sent",
        "sendgrid-sender-not-verified",
    ),
    ("smtp.sendgrid.net", 451, "Authentication failed: Maximum credits exceeded", "sendgrid-credits"),
    ("smtp.eu.mailgun.org", 535, "5.7.8 Authentication failed", "mailgun-login-refused"),
    ("smtp.postmarkapp.com", 535, "5.7.8 Error: authentication failed: bad", "postmark-login-refused"),
    ("smtp.sparkpostmail.com", 550, "5.7.1 Unconfigured Sending Domain <localhost>", "sparkpost-domain"),
    ("smtp.eu.sparkpostmail.com", 535, "5.7.8 Sorry.", "sparkpost-login-refused"),
    ("smtp-relay.brevo.com", 535, "5.7.8 Authentication failed", "brevo-login-refused"),
    ("smtp.fastmail.com", 535, "5.7.8 Error: authentication failed", "fastmail-login-refused"),
    ("smtp.resend.com", 535, "Authentication failed", "resend-login-refused"),
    ("smtp.mail.me.com", 550, "5.7.1 a@me.com: You have exceeded your daily sending limit.", "icloud-limit"),
]


@pytest.mark.parametrize(("host", "code", "text", "row"), REPLIES, ids=[reply[3] for reply in REPLIES])
def test_a_known_reply_leads_to_its_row(host: str, code: int, text: str, row: str) -> None:
    found = explain_reply(host, code, text)
    assert found
    assert found.id == row
    assert explain_reply(host.upper(), code, text.upper().replace(" ", "\r\n  ")) == found


def test_every_row_has_a_reply_that_leads_to_it() -> None:
    assert {row.id for row in known_replies()} - {reply[3] for reply in REPLIES} == set()


@pytest.mark.parametrize(
    ("host", "code", "text"),
    [
        (ANY, 250, "2.0.0 OK"),
        (ANY, 550, "5.7.1 Our policy says no"),
        (ANY, 451, "4.3.0 Try again later"),
        (ANY, 0, ""),
        ("", 554, "no"),
        (M365, 550, "15.7.60 x"),
        (M365, 550, "5.7.600 x"),
        (ANY, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender"),
    ],
)
def test_an_unknown_reply_leads_to_nothing(host: str, code: int, text: str) -> None:
    assert explain_reply(host, code, text) is None


def test_the_data_is_as_its_schema_says() -> None:
    text = (resources.files("ztrust_mail") / "data" / "replies.toml").read_text("utf-8")
    data = json.loads(json.dumps(tomllib.loads(text), default=date.isoformat))
    schema = jsonschema.Draft202012Validator(json.loads(schema_text("replies")))
    assert [f"{problem.json_path}: {problem.message}" for problem in schema.iter_errors(data)] == []


def test_every_provider_of_the_book_is_a_preset() -> None:
    named = {provider for row in known_replies() for provider in row.providers}
    assert named <= {preset.name for preset in all_presets()}


def test_no_two_rows_fit_the_same_replies() -> None:
    conditions = [
        (code, provider, row.enhanced, text)
        for row in known_replies()
        for code in row.codes
        for provider in row.providers or ("",)
        for text in row.texts or ("",)
    ]
    assert len(conditions) == len(set(conditions))


def test_every_row_says_why_and_what_to_do_in_whole_sentences() -> None:
    for row in known_replies():
        assert row.cause.endswith("."), row.id
        assert row.next_step[0].isupper(), row.id
        assert row.next_step.endswith("."), row.id


def test_what_is_far_behind_in_a_long_reply_does_not_count() -> None:
    near, far = "Relay access denied".rjust(MAX_TEXT), "Relay access denied".rjust(MAX_TEXT + 30)
    assert explain_reply(ANY, 554, near)
    assert explain_reply(ANY, 554, far) is None


CODES = sorted({code for row in known_replies() for code in row.codes})
WORDS = sorted({word for row in known_replies() for text in row.texts for word in text.split()})
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(["5.7.1", "4.7.0", "\x1b[31m", "*", "?", "\0", *WORDS]), max_size=400).map(" ".join),
    st.tuples(st.sampled_from(WORDS), st.integers(1, 50_000)).map(lambda pair: pair[0] * pair[1]),
)


@given(host=st.one_of(st.text(), st.sampled_from([GMAIL, M365, SES])), code=st.sampled_from(CODES), text=TEXTS)
def test_any_text_however_long_is_looked_up_and_ends(host: str, code: int, text: str) -> None:
    found = explain_reply(host, code, text)
    assert found is None or code in found.codes


def test_a_row_for_the_provider_wins_over_one_for_any_server_and_more_words_over_fewer() -> None:
    by_id = {row.id: row.weight for row in known_replies()}
    assert by_id["ses-login-refused"] > by_id["encryption-for-login-status"] > by_id["login-refused"]
    assert by_id["gmail-ehlo-name"] > by_id["gmail-relay-greeting"]
