// What no browser can do, and whoever tells the story does: cut the power, pull the card, have the supplier ask.
import net from 'node:net';
import readline from 'node:readline';

/** Connects to whoever takes orders at the socket: a line of JSON each, and one that answers. */
export function ordersTo(socket) {
  const stream = net.connect(socket);
  const answers = readline.createInterface({ input: stream })[Symbol.asyncIterator]();
  const order = async (...words) => {
    stream.write(`${JSON.stringify(words)}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error(`nobody carries out ${words.join(' ')}`);
    return JSON.parse(value);
  };
  return { order, dismiss: () => stream.end() };
}
