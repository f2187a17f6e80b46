/** Text as one word of sh, whatever it contains but NUL, which no argument can hold. The only place of the connectors that quotes for a shell. */
export function quote(text: string): string {
  if (text.includes('\0')) throw new TypeError('A word for a shell cannot contain NUL.')
  return `'${text.replaceAll("'", `'\\''`)}'`
}
