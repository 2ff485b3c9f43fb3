// Numbers as text.
const GROUPED = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** "12,345". */
export const count = (number: number): string => GROUPED.format(number);
/** "12.3K", for axes and narrow places. */
export const shortCount = (number: number): string => SHORT.format(number);
/** "12.5 %"; of a share from 0 to 1. */
export const percent = (share: number): string => `${Number((share * 100).toFixed(share < 0.1 ? 2 : 1))} %`;
/** "3 events", "1 event". */
export const counted = (number: number, noun: string, plural = `${noun}s`): string =>
  `${count(number)} ${number === 1 ? noun : plural}`;

/** "10.2 kB"; of bytes. */
export function bytes(number: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (Math.abs(number) >= 999.5 && power < 4) {
    number /= 1000;
    power++;
  }
  return `${Number(number.toPrecision(3))} ${units[power]}`;
}
