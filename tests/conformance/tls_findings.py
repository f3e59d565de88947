"""Tells what sslyze found: tls_findings.py REPORT.json. Exit code: 0 nothing is wrong, 1 something is."""

import json
import pathlib
import sys

TOO_OLD = ["ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites", "tls_1_1_cipher_suites"]
NEEDED = ["tls_1_2_cipher_suites", "tls_1_3_cipher_suites"]
# What each finding must not say, or must.
ATTACKS = [
    ("heartbleed", "is_vulnerable_to_heartbleed", False),
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", False),
    ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", False),
    ("session_renegotiation", "supports_secure_renegotiation", True),
    ("tls_compression", "supports_compression", False),
    ("tls_fallback_scsv", "supports_fallback_scsv", True),
    ("tls_1_3_early_data", "supports_early_data", False),
]


def strong(suite):
    return suite.startswith("TLS_AES_") or suite.startswith("TLS_CHACHA20_") or (
        suite.startswith("TLS_ECDHE_") and suite.endswith(("_GCM_SHA256", "_GCM_SHA384", "_POLY1305_SHA256"))
    )


def suites(found, version):
    return [accepted["cipher_suite"]["name"] for accepted in found[version]["result"]["accepted_cipher_suites"]]


def wrong(found):
    for version in TOO_OLD:
        if suites(found, version):
            yield f"{version}: {suites(found, version)}"
    for version in NEEDED:
        if not suites(found, version):
            yield f"{version}: none"
        for suite in suites(found, version):
            if not strong(suite):
                yield f"{version}: {suite} is weak"
    for attack, verdict, good in ATTACKS:
        # A check that came to nothing proves nothing.
        result = found[attack]["result"]
        if result is None or result[verdict] is not good:
            yield f"{attack}: {verdict}: {result and result[verdict]} ({found[attack]['status']})"
    robot = found["robot"]["result"]["robot_result"]
    if not robot.startswith("NOT_VULNERABLE"):
        yield f"robot: {robot}"


def main():
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())["server_scan_results"]
    found = results[0]["scan_result"]
    if len(results) != 1 or found is None:
        sys.exit(f"sslyze saw no server: {results}")
    findings = list(wrong(found))
    for version in NEEDED:
        print(f"{version}: {', '.join(suites(found, version))}")
    print("\n".join(findings) or "nothing is wrong")
    sys.exit(int(bool(findings)))


main()
