// A gateway without meters and without a card, whose clock was never set: every page answers, and says what is to be done.
//
// Environment: beside that of `looking.mjs` CONSUMER and TECHNICIAN, first passwords.
import { CHOSEN, WEB, carryOut, check, choose, logIn, look, open, stateOf, tell } from './looking.mjs';

const { CONSUMER, TECHNICIAN } = process.env;
const VIEWS = [
  ['de-DE', 'phone', 'dark'],
  ['en-GB', 'desktop', 'light'],
];
const UNSET = { de: 'Uhr', en: 'clock' };

async function visit(page, path, lang) {
  const answer = await page.goto(`${WEB}${path}`);
  check(answer.status() === 200, `${path} is answered by ${answer.status()}`);
  await look(page, `${path.replace(/[^a-z0-9]+/g, '-').slice(1)}-${lang}`);
}

/** Carries out every step that can be: each has an end, and what is missing is told. */
async function install(page, lang) {
  for (const step of ['device', 'card', 'meters', 'wan', 'report']) {
    await carryOut(page, step);
    const text = await page.innerText('#content');
    if (step === 'device' || step === 'wan') check(text.includes(UNSET[lang]), `${step} does not name the clock: ${text}`);
    if (step !== 'report') check((await stateOf(page, step)) === 'stale', `${step} is good in 1970`);
    await visit(page, `/wizard/${step}`, lang);
  }
  await visit(page, '/wizard/bus', lang);
  await visit(page, '/wizard/binding', lang);
  check(!(await page.$('#characters')), 'something can be bound in 1970');
  await visit(page, '/wizard', lang);
  await visit(page, '/device', lang);
}

await tell(async (browser) => {
  for (const [account, first] of Object.entries({ technician: TECHNICIAN, consumer: CONSUMER })) {
    const { context, page } = await open(browser, ...VIEWS[0]);
    await logIn(page, account, first);
    await choose(page, first, CHOSEN);
    await context.close();
  }
  for (const view of VIEWS) {
    const lang = view[0].slice(0, 2);
    const technician = await open(browser, ...view);
    await logIn(technician.page, 'technician', CHOSEN);
    await install(technician.page, lang);
    const consumer = await open(browser, ...view);
    await logIn(consumer.page, 'consumer', CHOSEN);
    for (const path of ['/now', '/history?by=year&at=1970-01-01', '/costs', '/recipients', '/tokens']) await visit(consumer.page, path, lang);
  }
});
