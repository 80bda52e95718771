// What people and attackers type wrongly: each form is sent with something wrong in one field, past what the browser itself
// would stop. The page that comes back says so at that field, and nothing else that was typed is lost.
import { WEB, check, look, send } from './looking.mjs';

/** More than any field takes, and less than a form. */
export const LONG = 'x'.repeat(300);
/** What must come back as text. */
export const SCRIPT = '<script>alert(1)</script>"\'';

// What is said about each mistake, by the language: to be the same in none.
const told = new Map();

/** Puts something into a field, whatever the field would take of a person. */
async function enter(page, selector, value) {
  await page.$eval(
    selector,
    (field, value) => {
      if (field.tagName === 'SELECT') {
        if (![...field.options].some((option) => option.value === value)) field.add(new Option(value, value));
      } else if (field.type === 'date' || field.type === 'time') {
        field.type = 'text';
      }
      field.removeAttribute('maxlength');
      field.form.noValidate = true;
      field.value = value;
    },
    value,
  );
}

/** Checks what the browser shows of a fault at a field. */
async function checkFault(page, selector, name) {
  const found = await page.$eval(selector, (field) => {
    const ids = (field.getAttribute('aria-describedby') ?? '').split(' ');
    const faults = ids.map((id) => document.getElementById(id)).filter((one) => one?.classList.contains('fault'));
    return {
      isInvalid: field.getAttribute('aria-invalid') === 'true',
      text: faults.map((one) => one.innerText).join(' '),
      isAlert: faults.some((one) => one.getAttribute('role') === 'alert'),
      scripts: document.querySelectorAll('script:not([src])').length,
    };
  });
  check(found.isInvalid && found.isAlert && found.text, `${name}: nothing is told at its field: ${JSON.stringify(found)}`);
  check(found.scripts === 0, `${name}: a script that was typed is in the page`);
  return found.text;
}

/**
 * Makes mistakes in a form, one after the other: `wrong` has fields, and what each is given; `good` is what stands in the
 * others. `at` names the field that is blamed, if it is another one; `kept` is
 * false for passwords, and `isShown` if no picture is wanted; `behind` is what is
 * clicked before the form is seen.
 */
export async function mistakes(page, { path, form, good, wrong, lang, at = {}, kept = true, isShown = true, behind }) {
  const selector = (field) => `form[action="${form}"] [name="${field}"]`;
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      const name = `${form} with ${field}=${JSON.stringify(value.slice(0, 40))} in ${lang}`;
      await page.goto(`${WEB}${path}`);
      if (behind) await page.click(behind);
      for (const [other, text] of Object.entries(good)) await enter(page, selector(other), text);
      await enter(page, selector(field), value);
      await send(page, `form[action="${form}"] button`);
      if (!(await page.$(selector(field)))) {
        check(false, `${name}: the form is not shown again at ${page.url()}`);
        continue;
      }
      const text = await checkFault(page, selector(at[field] ?? field), name);
      const by = told.get(`${form} ${field} ${value}`) ?? {};
      told.set(`${form} ${field} ${value}`, { ...by, [lang]: text });
      if (!kept) continue;
      for (const [other, text] of Object.entries({ ...good, [field]: value })) {
        const isTyped = await page.$eval(selector(other), (one) => one.tagName !== 'SELECT' && one.type !== 'date' && one.type !== 'time');
        const shown = await page.inputValue(selector(other));
        const isKept = shown === text || (!isTyped && other === field);
        check(isKept, `${name}: ${other} is ${JSON.stringify(shown)} now, ${JSON.stringify(text)} was lost`);
      }
    }
  }
  if (isShown) await look(page, `mistakes${form.replace(/[^a-z]+/g, '-')}-${lang}`);
}

/** Checks that a form with an empty field is not even sent, and that the browser leads to that field. */
export async function stopped(page, { path, form, field }) {
  await page.goto(`${WEB}${path}`);
  const selector = `form[action="${form}"] [name="${field}"]`;
  await page.fill(selector, '');
  await page.click(`form[action="${form}"] button`);
  const isThere = await page.$eval(selector, (one) => document.activeElement === one && one.validity.valueMissing);
  check(isThere && page.url() === `${WEB}${path}`, `${form}: an empty ${field} is not told by the browser`);
}

/** Checks that everything that was told has been told in both languages. */
export function checkLanguages(languages) {
  for (const [mistake, texts] of told) {
    const all = languages.map((language) => texts[language]);
    check(new Set(all).size === languages.length && !all.includes(undefined), `${mistake} is told as ${JSON.stringify(texts)}`);
  }
}

/** Checks that a page says what is wrong, in the language, and leads away from it. */
export async function checkMessage(page, name, lang) {
  const text = await page.innerText('main').catch(() => '');
  const has = { text: text.length > 30 && !text.includes('deserialize'), lang: (await page.getAttribute('html', 'lang')) === lang, way: Boolean(await page.$('a[href="/"]')) };
  check(has.text && has.lang && has.way, `${name}: ${page.url()} shows ${JSON.stringify({ ...has, told: text })}`);
}
