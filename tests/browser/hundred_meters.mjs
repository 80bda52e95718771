// A house with a hundred meters: what a scan finds, and the meters themselves, are shown in parts that stay small.
//
// Environment: beside that of `looking.mjs` TECHNICIAN, a first password; MBUS, a line with a hundred meters.
import { CHOSEN, PATIENCE, WEB, carryOut, check, choose, logIn, look, open, send, tell, waitForEnd } from './looking.mjs';

const { TECHNICIAN, MBUS } = process.env;
/** The most bytes of a page. */
const LARGEST = 60 * 1024;
const METERS = 100;

/** Opens a page, which has to be small. */
async function visit(page, path) {
  const answer = await page.goto(`${WEB}${path}`);
  const size = (await answer.body()).length;
  check(answer.status() === 200 && size < LARGEST, `${path} has ${size} bytes, and is answered by ${answer.status()}`);
}

/** Goes from part to part of a list, and returns the headings of its entries. */
async function walk(page, path, name) {
  const seen = [];
  await visit(page, path);
  await look(page, `${name}-first`);
  for (let parts = 1; parts < METERS; parts += 1) {
    seen.push(...(await page.$$eval('section h3', (heads) => heads.map((head) => head.innerText))));
    const more = await page.$('nav a[rel="next"][href*="from="]');
    if (!more) break;
    const to = await more.getAttribute('href');
    await send(page, `nav a[rel="next"][href="${to}"]`);
    await visit(page, to);
  }
  await look(page, `${name}-last`);
  return new Set(seen).size;
}

async function scan(page) {
  await page.goto(`${WEB}/wizard/bus`);
  await page.fill('#endpoint', MBUS);
  await page.fill('#first', '1');
  await page.fill('#last', String(METERS));
  await send(page, 'form[action="/wizard/bus/scan"] button');
  await page.waitForSelector('nav a[rel="next"][href*="from="]', PATIENCE);
  await look(page, 'scan-running');
  await waitForEnd(page);
}

/** Says of a meter in the middle that it agrees with its dial, and comes back to it. */
async function compare(page) {
  await visit(page, '/wizard/meters?from=40');
  await send(page, 'form[action="/wizard/meters/compare"]:has([value="flat 47"]) button[value="yes"]');
  check(page.url() === `${WEB}/wizard/meters?from=40`, `a comparison leads to ${page.url()}`);
  check(await page.$('section:has-text("flat 47") .good'), 'a comparison is not shown');
  await carryOut(page, 'meters');
  check((await page.getAttribute('#progress dd span', 'class')) === 'stale', 'a hundred meters of which one was compared are good');
  await visit(page, '/wizard/meters');
  await look(page, 'meters-checked');
}

await tell(async (browser) => {
  const { page } = await open(browser, 'de-DE', 'phone', 'light');
  await logIn(page, 'technician', TECHNICIAN);
  await choose(page, TECHNICIAN, CHOSEN);
  const read = await walk(page, '/wizard/meters', 'meters');
  check(read === METERS, `${read} meters are shown, and there are ${METERS}`);
  await scan(page);
  const found = await walk(page, '/wizard/bus', 'found');
  check(found === METERS, `${found} meters of the scan are shown, and there are ${METERS}`);
  await compare(page);
  await carryOut(page, 'report');
  await look(page, 'report');
  await page.goto(`${WEB}/device`);
  await look(page, 'device');
});
