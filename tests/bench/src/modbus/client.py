"""Reads registers with a client of pymodbus and prints, as JSON, how long each way took and what it read.

Arguments: the serial port, the speed, the unit, and ways to read: JSON lists of [function, address, count].
The client is the asynchronous one, which is the faster of the two. The time begins when the port is open.
"""

import asyncio
import json
import sys
import time

from pymodbus.client import AsyncModbusSerialClient


async def main(port, speed, unit, *ways):
    client = AsyncModbusSerialClient(port, baudrate=int(speed), timeout=2)
    assert await client.connect()
    reads = {3: client.read_holding_registers, 4: client.read_input_registers}
    results = []
    for way in ways:
        answers = []
        begun = time.perf_counter()
        for function, address, count in json.loads(way):
            answers.append(await reads[function](address, count=count, device_id=int(unit)))
        seconds = time.perf_counter() - begun
        assert not any(answer.isError() for answer in answers), answers
        results.append({"seconds": seconds, "words": [answer.registers for answer in answers]})
    client.close()
    print(json.dumps(results))


asyncio.run(main(*sys.argv[1:]))
