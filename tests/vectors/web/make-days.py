#!/usr/bin/env python3
"""Writes the days of 23 and 25 hours, by the zone database of Python and by no code of this project."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
METER = "ELS-12345678-3C-07"
NAME = f"0100010800ff.{METER}.sm"


def local(time):
    return time.astimezone(BERLIN).isoformat()


def interval(name, start, seconds, indent):
    inner = indent + "  "
    return [
        f"{indent}<espi:{name}>",
        f"{inner}<espi:duration>{seconds}</espi:duration>",
        f"{inner}<espi:start>{local(start)}</espi:start>",
        f"{indent}</espi:{name}>",
    ]


def day(midnight, hours):
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ar:UsagePoints xmlns:ar="http://vde.de/AR_2418-6.xsd" xmlns:espi="http://naesb.org/espi">',
        "  <ar:UsagePoint>",
        "    <espi:ServiceCategory>",
        "      <espi:kind>0</espi:kind>",
        "    </espi:ServiceCategory>",
        "    <ar:usagePointId>DE0001234567890123456789012345678</ar:usagePointId>",
        "    <ar:Customer>",
        '      <ar:customerId>a &lt;b&gt; &amp; c]]&gt;   "ü</ar:customerId>',
        "    </ar:Customer>",
        "    <ar:SMGW>",
        "      <ar:certId>1</ar:certId>",
        "      <ar:smgwId>fd5a::1</ar:smgwId>",
        "      <ar:FirmwareVersion>0.1.0</ar:FirmwareVersion>",
        "      <ar:SystemTime>2026-11-30T16:00:00+01:00</ar:SystemTime>",
        "    </ar:SMGW>",
        "    <ar:Certificate>",
        "      <ar:certId>1</ar:certId>",
        "      <ar:certType>1</ar:certType>",
        "      <ar:certContent>3082</ar:certContent>",
        "    </ar:Certificate>",
        "    <ar:MeterReading>",
        "      <ar:Meter>",
        f"        <ar:meterId>{METER}</ar:meterId>",
        "      </ar:Meter>",
        f"      <ar:meterReadingId>{NAME}</ar:meterReadingId>",
        "      <ar:ReadingType>",
        "        <espi:powerOfTenMultiplier>0</espi:powerOfTenMultiplier>",
        "        <espi:uom>72</espi:uom>",
        "        <ar:scaler>-2</ar:scaler>",
        "        <ar:obisCode>0100010800ff</ar:obisCode>",
        f"        <ar:qualifiedLogicalName>{NAME}</ar:qualifiedLogicalName>",
        "      </ar:ReadingType>",
        "      <ar:IntervalBlock>",
        *interval("interval", midnight, hours * 3600, "        "),
    ]
    for hour in range(hours + 1):
        time = midnight + timedelta(hours=hour)
        lines += [
            "        <ar:IntervalReading>",
            f"          <espi:value>{100_000 + 25 * hour}</espi:value>",
            *interval("timePeriod", time, 0, "          "),
            f"          <ar:targetTime>{local(time)}</ar:targetTime>",
            "          <ar:statusPTB>0</ar:statusPTB>",
            "        </ar:IntervalReading>",
        ]
    lines += [
        "      </ar:IntervalBlock>",
        "    </ar:MeterReading>",
        "  </ar:UsagePoint>",
        "</ar:UsagePoints>",
    ]
    return "\n".join(lines) + "\n"


def main():
    folder = Path(__file__).parent
    for name, begin, hours in [
        ("day-of-23-hours.xml", datetime(2026, 3, 28, 23, tzinfo=timezone.utc), 23),
        ("day-of-25-hours.xml", datetime(2026, 10, 24, 22, tzinfo=timezone.utc), 25),
    ]:
        (folder / name).write_text(day(begin, hours), encoding="utf-8")


if __name__ == "__main__":
    main()
