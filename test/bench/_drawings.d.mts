export function drawAll(folder: string): void;
export function filesOf(folder: string): Readonly<Record<string, string>>;
