#!/usr/bin/env python3
"""Reads events and decisions of gocdnext-flow from Kafka and counts each once, however often it is delivered.

    consumer.py BROKERS [--until-idle SECONDS]

Events: what is seen of each job's end, by status. Decisions: one line each, for whoever archives logs to act on. Kafka delivers at
least once, so both are keyed on what makes them the same: an event on its source and id, a decision on its id.
"""

import argparse
import collections
import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException

EVENTS, DECISIONS = "gocdnext.events", "gocdnext.decisions"
JOB_FINISHED, RETENTION = "io.gocdnext.job.finished", "io.gocdnext.retention."
# So many ids are remembered; in earnest they belong into the database that the effect is written to, in the
# same transaction.
REMEMBERED = 1_000_000


class Seen:
    """The last ids, so that what comes again is known."""

    def __init__(self, room):
        self.ids, self.room = collections.OrderedDict(), room

    def add(self, key):
        """Whether it is new."""
        if key in self.ids:
            return False
        self.ids[key] = None
        if len(self.ids) > self.room:
            self.ids.popitem(last=False)
        return True


def cloud_event(message):
    """The event in a record, whichever content mode it came in; None if it is none (that is for the dead letters)."""
    headers = {name: value or b"" for name, value in message.headers() or []}
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), b"")
    structured = content_type.strip().lower().startswith(b"application/cloudevents")
    try:
        body = json.loads(message.value() or b"null")
        if not structured and any(name.startswith("ce_") for name in headers):
            # these are UTF-8; any other header, of a tracer say, may hold any bytes
            attributes = {name[3:]: headers[name].decode() for name in ("ce_id", "ce_source", "ce_type") if name in headers}
            body = attributes | {"data": body}
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or nested too deep
        return None
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in ("id", "source", "type")):
        return None
    # of a type that is not used here data may be anything
    used = body["type"] == JOB_FINISHED or body["type"].startswith(RETENTION)
    return body if isinstance(body.get("data"), dict) or not used else None


class Totals:
    def __init__(self):
        self.events, self.decisions = Seen(REMEMBERED), Seen(REMEMBERED)
        self.count = collections.Counter()

    def take(self, message):
        event = cloud_event(message)
        if event is None:
            self.count["not an event"] += 1
        elif message.topic() == DECISIONS:
            self.decision(event)
        elif self.events.add((event["source"], event["id"])):
            self.count["events"] += 1
            if event["type"] == JOB_FINISHED:
                self.count[f"job.finished {event['data'].get('status')}"] += 1
        else:
            self.count["events again"] += 1

    def decision(self, decision):
        if not decision["type"].startswith(RETENTION):
            return  # something new
        if not self.decisions.add(decision["id"]):
            self.count["decisions again"] += 1
            return
        kind, data = decision["type"].rpartition(".")[2], decision["data"]
        self.count[f"decision {kind}"] += 1
        print(kind, data.get("partition") or data.get("job_id"), "-", data["reason"], flush=True)


def consume(brokers, idle_seconds):
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "gocdnext-example",
        "auto.offset.reset": "earliest",
        # after the effect, never before it: what a crash interrupts comes again
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    })
    totals, heard = Totals(), time.monotonic()
    consumer.subscribe([EVENTS, DECISIONS])
    try:
        while idle_seconds is None or time.monotonic() - heard < idle_seconds:
            messages = consumer.consume(1000, timeout=0.5)
            for message in messages:
                error = message.error()
                if error and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # it is not there yet
                if error:
                    raise KafkaException(error)
                totals.take(message)
                heard = time.monotonic()
            if any(not message.error() for message in messages):
                consumer.commit(asynchronous=False)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
        for name, count in sorted(totals.count.items()):
            print(f"{name}: {count}")


def main():
    arguments = argparse.ArgumentParser(description="Count gocdnext-flow's events and decisions, each once.")
    arguments.add_argument("brokers", help="as localhost:9092")
    arguments.add_argument("--until-idle", type=float, metavar="SECONDS", help="end when nothing has come for so long")
    given = arguments.parse_args()
    try:
        consume(given.brokers, given.until_idle)
    except KafkaException as error:
        sys.exit(f"consumer.py: {given.brokers}: {error.args[0].str()}")


if __name__ == "__main__":
    main()
