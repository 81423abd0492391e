"""Asks the documents through OpenAI's own client: `pip install openai`, `rag serve`, and `python examples/chat.py`.

Any program that takes a base URL does the same: Open WebUI, LibreChat, LangChain, your own.
"""

import os
import sys

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("GROUNDWIRE_URL", "http://localhost:8080/v1"),
    api_key=os.environ.get("GROUNDWIRE_KEY", "none"),  # any text where no keys are configured
)
question = " ".join(sys.argv[1:]) or "How long is parental leave?"
stream = client.chat.completions.create(
    model="rag/default", messages=[{"role": "user", "content": question}], stream=True
)
for chunk in stream:
    delta = chunk.choices[0].delta
    print(delta.content or "", end="", flush=True)
    for annotation in getattr(delta, "annotations", None) or ():
        print(f"\n  {annotation['url_citation']['title']}: {annotation['url_citation']['url']}", end="")
print()
