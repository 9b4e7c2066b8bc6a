"""Chats for the released models. Examples come first, for one of the models only continues text."""

from __future__ import annotations

Chat = list[dict[str, str]]


def turns(*texts: str) -> Chat:
    """User and assistant in turn; the user begins."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


CAPITALS = (
    "What is the capital of Germany?",
    "The capital of Germany is Berlin.",
    "What is the capital of Italy?",
    "The capital of Italy is Rome.",
)
PLACES = (
    "Anna has a red lamp. What does Anna have?",
    "Anna has a red lamp.",
    "The key lies under the mat. Where does the key lie?",
    "The key lies under the mat.",
)
WATER = (
    "The water cycle describes how water moves between the oceans, the air and the land. The sun "
    "warms the sea, and water rises into the air as vapour. High above the ground the vapour cools "
    "and forms clouds. When the drops in a cloud grow heavy, they fall as rain or snow. Rivers "
    "then carry the water back to the sea."
)
PARCELS = " ".join(
    f"Parcel {n} weighs {n * 7 % 40} kilos and goes to gate {n % 9}." for n in range(42)
)

CHATS: dict[str, Chat] = {
    "france": turns(*CAPITALS, "What is the capital of France?"),
    "japan": turns(*CAPITALS, "What is the capital of Japan?"),
    "boat": turns(*PLACES, "Ben owns a kettle. The boat is in the harbour. Where is the boat?"),
    "water": turns(f"{WATER} Explain in many words what the sun does to the sea."),
    "system": [
        {"role": "system", "content": "You answer in one word."},
        *turns("Naïve façade — “quotes”, 中文 and 1234.5?"),
    ],
    "parcels": turns(f"{PARCELS} Which parcel goes to gate 4?"),
}
"""`parcels` is longer than a sliding window."""
