export function setAside(directory: string, aside: string): void;
