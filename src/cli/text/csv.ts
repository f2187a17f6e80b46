/** One CSV line: quotes where RFC 4180 asks for them, empty for null. */
export const csvLine = (cells: readonly string[]): string => `${cells.map(csvCell).join(',')}\n`

const csvCell = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)
