"""`Best practices in identifying customers`, 'Missing sign-ups': calls that a page's end, or
a program's, would lose.
"""

import subprocess
import sys

from sameas import Session
from support.stories import timeline

WELCOME_PAGE = """
import sys
from datetime import UTC, datetime
from sameas import Client, Session

client = Client(sys.argv[1])
visitor = Session(client.buffer(), {"sameas": {"anonymous_id": "redirected-device"}},
                  now=lambda: datetime(2020, 3, 2, 9, 5, tzinfo=UTC))
visitor.page("Welcome")
visitor.identify("redirected-1", {"plan": "free"})
visitor.track("Signed Up")
for number in range(1_000):
    visitor.track(f"Step {number:03}")
# No flush, no close: the program ends here, as a page that redirects.
"""


def test_a_sign_up_is_tracked_from_the_welcome_page(client, calendar):
    """'Intilery recommends that you make those calls from a welcome page after the user
    registers': the cookie carries the visitor over the redirect.
    """
    cookie = {}
    sign_up_page = Session(client, cookie, now=calendar)
    sign_up_page.page("Sign Up")

    welcome_page = Session(client, cookie, now=calendar)  # another request, the same cookie
    welcome_page.page("Welcome")
    welcome_page.alias("welcomed-1")
    welcome_page.identify("welcomed-1")
    welcome_page.track("Signed Up")

    assert timeline(client, user_id="welcomed-1") == [
        "day 1: Sign Up",
        "day 1: Welcome",
        "day 1: alias",
        "day 1: identify",
        "day 1: Signed Up",
    ]


def test_a_buffer_loses_nothing_when_the_program_ends(server, client):
    """'This is usually caused by the page redirecting or reloading before the tracking calls
    get a chance to run.' Here what is queued goes out at exit.
    """
    command = [sys.executable, "-c", WELCOME_PAGE, server.target]

    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    assert ended.stderr == ""
    assert client.person(user_id="redirected-1").anonymous_ids == ("redirected-device",)
    assert timeline(client, user_id="redirected-1") == [
        "day 1: Welcome",
        "day 1: identify",
        "day 1: Signed Up",
        *(f"day 1: Step {number:03}" for number in range(1_000)),
    ]


def test_a_sign_up_of_which_no_answer_came_is_sent_again_and_counts_once(client, calendar):
    """The same worry on the server's side: repeat with the same message id, as often as
    needed.
    """
    visitor = Session(client, now=calendar)
    when = calendar()

    receipts = [
        visitor.track("Signed Up", message_id="sign-up-of-42", timestamp=when) for _ in range(3)
    ]

    assert [receipt.duplicate for receipt in receipts] == [False, True, True]
    assert timeline(client, anonymous_id=visitor.anonymous_id) == ["day 1: Signed Up"]
