// After everything went through Deed: is every call in its records, and does the store verify?
export async function recorded(deed, print) {
  return 0;
}
