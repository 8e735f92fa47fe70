"""Exit with 0 if the server in this container takes requests: ``python healthcheck.py [URL]``.

Without a URL it is asked at port 8001, by HTTP and then by HTTPS. The certificate is not checked:
the server is this container's own.
"""

import ssl
import sys
import urllib.error
import urllib.request

READY = "://127.0.0.1:8001/v2/health/ready"
SECONDS = 4.0


def main(urls: list[str]) -> str | None:
    """None where one of them answers 200, else what is wrong."""
    context = ssl._create_unverified_context()
    problems = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS, context=context):
                return None
        except urllib.error.HTTPError as error:
            return f"{url} answered {error.code}, expected 200"
        except OSError as error:
            problems.append(f"{url}: {error}")
    return "; ".join(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [f"http{READY}", f"https{READY}"]))
