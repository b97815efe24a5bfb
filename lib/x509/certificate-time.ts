// The two forms of time in a certificate (RFC 5280, section 4.1.2.5): UTCTime with two digits of
// the year for 1950 to 2049, GeneralizedTime beyond; both in UTC and whole seconds.

import { type DerElement, encodeDer, TAG } from "./der.ts";

const FIRST_YEAR_OF_UTC_TIME = 1950;
const FIRST_YEAR_BEYOND_UTC_TIME = 2050;
const GENERALIZED = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** @param timeMs since 1970; the fraction of a second is dropped */
export function encodeTime(timeMs: number): Buffer {
  const digits = new Date(timeMs).toISOString().replaceAll(/\D/g, "").slice(0, 14);
  const year = Number(digits.slice(0, 4));
  return year >= FIRST_YEAR_OF_UTC_TIME && year < FIRST_YEAR_BEYOND_UTC_TIME
    ? encodeDer(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`))
    : encodeDer(TAG.generalizedTime, Buffer.from(`${digits}Z`));
}

/** Milliseconds since 1970; undefined for another element, form or day of no calendar. */
export function decodeTime(element: DerElement | undefined): number | undefined {
  if (element === undefined) return undefined;
  const text = element.content.toString("latin1");
  if (element.tag === TAG.generalizedTime) return readDigits(text);
  if (element.tag !== TAG.utcTime) return undefined;
  const century = Number(text.slice(0, 2)) >= FIRST_YEAR_OF_UTC_TIME % 100 ? "19" : "20";
  return readDigits(century + text);
}

function readDigits(text: string): number | undefined {
  const [, year, month, day, hour, minute, second] = GENERALIZED.exec(text) ?? [];
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const timeMs = Date.parse(iso);
  // Date.parse may roll the 31st of a short month over to the next.
  return Number.isNaN(timeMs) || new Date(timeMs).toISOString() !== iso ? undefined : timeMs;
}
