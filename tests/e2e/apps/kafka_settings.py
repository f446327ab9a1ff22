# SPDX-License-Identifier: Apache-2.0
"""How kafka_*.py reach their broker, and how they compress, as the environment says: KAFKA_SECURITY
(a protocol, and a mechanism behind a colon), KAFKA_CA, KAFKA_CODEC. And how large what they send is, as
the group's name says."""
import os
import sys

USER, PASSWORD = "alice", "wonder"
PROTOCOL, _, MECHANISM = os.environ.get("KAFKA_SECURITY", "PLAINTEXT").partition(":")
CA = os.environ.get("KAFKA_CA")
SECURITY = {"security_protocol": PROTOCOL}
if MECHANISM:
    SECURITY.update(sasl_mechanism=MECHANISM, sasl_plain_username=USER, sasl_plain_password=PASSWORD)
CODEC = {"compression_type": os.environ.get("KAFKA_CODEC")}
WIDE = 200000 # bytes of a batch
MORE = b"." * {"long": 1000000, "wide": 300}.get(sys.argv[-1], 0)
